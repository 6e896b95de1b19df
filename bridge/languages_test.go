package bridge

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	vitals "teamsbridge/bridge/health"
	"teamsbridge/database"
	"teamsbridge/portal"
)

// A room is told of an outage in the language and zone of the configuration.
func TestOutageIsToldInEveryLanguage(t *testing.T) {
	began := time.Date(2026, 3, 2, 9, 1, 0, 0, time.UTC)
	rec := &database.Outage{Kind: database.OutageDetected, Cause: string(vitals.SignInDown), Began: began, Ended: began.Add(time.Hour)}
	drill := &database.Outage{Kind: database.OutageDrill, Began: began, Ended: began.Add(30 * time.Hour)}
	told := tally{delivered: 1, waiting: 2, takenBack: 1, refused: map[string]int{"too large": 1}, changes: 2, lastDone: began.Add(time.Hour + 65*time.Second)}
	for language, want := range map[string][]string{
		"en": {
			"Microsoft Teams is unavailable since 10:01 +01:00: Microsoft's sign-in service does not answer. You can go on here: what you write is kept, and goes to Teams when Teams is back.",
			"**This is a drill.** Since 10:01 +01:00 we behave as if Microsoft Teams were unavailable. You can go on here: what you write is kept, and goes to Teams when the drill is over, at 11:31 +01:00 at the latest.",
			"Microsoft Teams is available again. It was unavailable from 10:01 to 11:01 +01:00. Of the 5 messages that were written here meanwhile, 1 is in Teams; it took 1 minute. 2 still wait and will go. 1 was deleted before. 1 did not go to Teams: too large for Teams. 2 edits, deletions or reactions did not go to Teams. From Teams, 3 messages of that time came here afterwards; nothing is missing.",
			"**The drill is over.** It lasted from 2026-03-02 10:01 +01:00 to 2026-03-03 16:01 +01:00. No message waited here.",
		},
		"fr": {
			"Microsoft Teams est indisponible depuis 10:01 +01:00 : le service de connexion de Microsoft ne répond pas. Vous pouvez continuer ici : ce que vous écrivez est conservé et sera transmis à Teams dès son rétablissement.",
			"**Ceci est un exercice.** Depuis 10:01 +01:00, nous faisons comme si Microsoft Teams était indisponible. Vous pouvez continuer ici : ce que vous écrivez est conservé et sera transmis à Teams à la fin de l’exercice, au plus tard à 11:31 +01:00.",
			"Microsoft Teams est de nouveau disponible. Le service était indisponible de 10:01 à 11:01 +01:00. Sur les 5 messages écrits ici entre-temps, 1 est dans Teams ; il a fallu 1 minute. 2 attendent encore et seront transmis. 1 a été supprimé avant. 1 n’a pas été transmis à Teams : trop volumineux pour Teams. 2 modifications, suppressions ou réactions n’ont pas été transmises à Teams. De Teams, 3 messages de cette période sont arrivés ici après coup ; il ne manque rien.",
			"**L’exercice est terminé.** Il a eu lieu du 2026-03-02 10:01 +01:00 au 2026-03-03 16:01 +01:00. Aucun message n’était en attente ici.",
		},
		"de": {
			"Microsoft Teams ist seit 10:01 +01:00 nicht verfügbar: der Anmeldedienst von Microsoft antwortet nicht. Sie können hier weitermachen: Was Sie schreiben, wird aufbewahrt und geht an Teams, sobald Teams wieder da ist.",
			"**Dies ist eine Übung.** Seit 10:01 +01:00 verhalten wir uns so, als wäre Microsoft Teams nicht verfügbar. Sie können hier weitermachen: Was Sie schreiben, wird aufbewahrt und geht an Teams, wenn die Übung vorbei ist, spätestens um 11:31 +01:00.",
			"Microsoft Teams ist wieder verfügbar. Es war von 10:01 bis 11:01 +01:00 nicht verfügbar. Von den 5 Nachrichten, die inzwischen hier geschrieben wurden, ist 1 in Teams; Dauer: 1 Minute. 2 warten noch und werden übertragen. 1 wurde vorher gelöscht. 1 ging nicht an Teams: zu groß für Teams. 2 Bearbeitungen, Löschungen oder Reaktionen gingen nicht an Teams. Aus Teams kamen 3 Nachrichten aus dieser Zeit nachträglich hierher; es fehlt nichts.",
			"**Die Übung ist vorbei.** Sie fand von 2026-03-02 10:01 +01:00 bis 2026-03-03 16:01 +01:00 statt. Hier hat keine Nachricht gewartet.",
		},
	} {
		t.Run(language, func(t *testing.T) {
			cfg := validConfig(t)
			cfg.Language, cfg.TimeZone = language, "Europe/Berlin"
			require.NoError(t, cfg.Validate())
			x, err := cfg.texts()
			require.NoError(t, err)
			got := []string{
				beganRoomText(x, rec, nil, portal.PolicyFull, began), beganRoomText(x, drill, &database.Hold{Until: began.Add(90 * time.Minute)}, portal.PolicyFull, began),
				endedRoomText(x, rec, told, gap{count: 3, complete: true}, portal.PolicyFull), endedRoomText(x, drill, tally{}, gap{none: true}, portal.PolicyFull),
			}
			for i := range want {
				require.Equal(t, want[i], strings.ReplaceAll(got[i], "\u00a0", " "))
			}
		})
	}
}
