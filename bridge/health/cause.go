package health

// Cause says why a dependency is not up.
type Cause string

// The causes.
const (
	NoCause           Cause = ""
	TeamsDown         Cause = "teams-down"
	SignInDown        Cause = "sign-in-down"
	EgressDown        Cause = "egress-down"
	CauseThrottled    Cause = "throttled"
	CredentialExpired Cause = "credential-expired"
	PermissionRevoked Cause = "permission-revoked"
	WebhookSilent     Cause = "webhook-silent"
	HomeserverDown    Cause = "homeserver-down"
	// Unsteady is a part of the requests that fails; the rest goes through.
	Unsteady Cause = "unsteady"
)

// Sentence is the cause for people, without a full stop.
func (c Cause) Sentence() string {
	switch c {
	case TeamsDown:
		return "Microsoft Teams does not answer"
	case SignInDown:
		return "Microsoft's sign-in service does not answer, so the bridge gets no access to Teams"
	case EgressDown:
		return "neither Microsoft Teams nor the sign-in service is reachable from here: they are unreachable over this network"
	case CauseThrottled:
		return "Microsoft throttles the bridge's requests"
	case CredentialExpired:
		return "the bridge's own sign-in is no longer accepted"
	case PermissionRevoked:
		return "Microsoft refuses the bridge in one conversation after the other: a permission is missing"
	case WebhookSilent:
		return "Microsoft's notifications do not arrive"
	case HomeserverDown:
		return "the homeserver does not answer"
	case Unsteady:
		return "a part of the requests fails"
	default:
		return ""
	}
}

// Advice is what an operator can do about it.
func (c Cause) Advice() string {
	switch c {
	case TeamsDown, SignInDown:
		return "Nothing is to be done here; Microsoft's service health page says more."
	case EgressDown:
		return "Look at this machine's way out: network, firewall, proxy, name resolution."
	case CauseThrottled:
		return "It goes on by itself, more slowly; other applications may use up the same limits."
	case CredentialExpired:
		return "Renew the application's secret or certificate in the app registration, put it into the config and restart the bridge."
	case PermissionRevoked:
		return "Look at the app registration's permissions and admin consent, and at the accounts that write: they must be members."
	case WebhookSilent:
		return "Look at the subscriptions in status, and call the public URL from outside. Until then messages come by reading only."
	case HomeserverDown:
		return "Look at the homeserver; what comes from Teams is kept meanwhile."
	default:
		return ""
	}
}
