package bridge

import (
	vitals "teamsbridge/bridge/health"
	"teamsbridge/texts"
)

// troubles are the causes for people, without a full stop.
var troubles = map[vitals.Cause]texts.Key{
	vitals.TeamsDown: texts.TroubleTeams, vitals.SignInDown: texts.TroubleSignIn, vitals.EgressDown: texts.TroubleEgress,
	vitals.CauseThrottled: texts.TroubleThrottled, vitals.CredentialExpired: texts.TroubleCredential, vitals.PermissionRevoked: texts.TroublePermission,
	vitals.WebhookSilent: texts.TroubleWebhook, vitals.HomeserverDown: texts.TroubleHomeserver, vitals.Unsteady: texts.TroubleUnsteady,
}

// advices are what an operator can do about a cause.
var advices = map[vitals.Cause]texts.Key{
	vitals.TeamsDown: texts.AdviceWait, vitals.SignInDown: texts.AdviceWait, vitals.EgressDown: texts.AdviceEgress,
	vitals.CauseThrottled: texts.AdviceThrottled, vitals.CredentialExpired: texts.AdviceCredential, vitals.PermissionRevoked: texts.AdvicePermission,
	vitals.WebhookSilent: texts.AdviceWebhook, vitals.HomeserverDown: texts.AdviceHomeserver,
}

// dependencyNames are the dependencies for people.
var dependencyNames = map[vitals.Dependency]texts.Key{
	vitals.GraphRead: texts.DependencyReading, vitals.GraphWrite: texts.DependencyWriting, vitals.SignIn: texts.DependencySignIn,
	vitals.Webhook: texts.DependencyWebhook, vitals.Homeserver: texts.DependencyHomeserver,
}

// troubleText is a cause with what was met, for people.
func troubleText(x texts.Texts, c vitals.Cause, detail string) string {
	text, said := spoken(x, detail), ""
	if key, ok := troubles[c]; ok {
		said = x.Say(key)
	}
	switch {
	case said == "":
		return text
	case text == "":
		return said
	default:
		return said + " (" + text + ")"
	}
}

// causeSentence is a cause with what was met and what can be done, for people.
func causeSentence(x texts.Texts, c vitals.Cause, detail string) string {
	text := troubleText(x, c, detail)
	if key, ok := advices[c]; ok {
		text += ". " + x.Say(key)
	}
	return text
}
