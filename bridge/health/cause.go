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

// Causes lists them.
func Causes() []Cause {
	return []Cause{
		TeamsDown, SignInDown, EgressDown, CauseThrottled, CredentialExpired, PermissionRevoked, WebhookSilent, HomeserverDown, Unsteady,
	}
}
