package teams

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/rs/zerolog"
	"github.com/stretchr/testify/require"
)

// deviceServer plays the device flow; answers are given in order.
// It has no network, so that minutes of waiting pass on a virtual clock.
func deviceServer(t *testing.T, interval int, expires int, answers ...func(w http.ResponseWriter, r *http.Request)) DelegatedConfig {
	t.Helper()
	var n atomic.Int64
	return inMemory(t, func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/devicecode"):
			if !strings.Contains(r.PostFormValue("scope"), "offline_access") || !strings.Contains(r.PostFormValue("scope"), "/ChannelMessage.Send") {
				tokenError(w, 400, "invalid_scope", 70011)
				return
			}
			w.Header().Set("Content-Type", "application/json")
			_, _ = fmt.Fprintf(w, `{"device_code":"dc","user_code":"ABC","verification_uri":"https://microsoft.example/devicelogin","expires_in":%d,"interval":%d,"message":"m"}`, expires, interval)
		case strings.HasSuffix(r.URL.Path, "/token"):
			if r.PostFormValue("device_code") != "dc" {
				tokenError(w, 400, "bad_verification_code", 70019)
				return
			}
			i := int(n.Add(1)) - 1
			answers[min(i, len(answers)-1)](w, r)
		case r.URL.Path == "/v1.0/me":
			if r.Header.Get("Authorization") != "Bearer access" {
				w.WriteHeader(401)
				return
			}
			_, _ = io.WriteString(w, `{"id":"u1","displayName":"Robin","userPrincipalName":"robin@example.org"}`)
		}
	})
}

func pending(w http.ResponseWriter, _ *http.Request) {
	tokenError(w, 400, "authorization_pending", 70016)
}
func granted(w http.ResponseWriter, r *http.Request) { tokenAnswer(w, r, "access", 3600, "refresh-0") }

func startDevice(t *testing.T, cfg DelegatedConfig) *DeviceLogin {
	t.Helper()
	d, err := StartDeviceLogin(t.Context(), cfg)
	require.NoError(t, err)
	require.Equal(t, "ABC", d.UserCode)
	require.Contains(t, d.Message(), "https://microsoft.example/devicelogin")
	return d
}

func TestDeviceLogin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cfg := deviceServer(t, 5, 900, pending, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) },
			func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, granted)
		begin := time.Now()
		got, err := startDevice(t, cfg).Wait(t.Context())
		require.NoError(t, err, "a failing network does not end the sign-in")
		require.Equal(t, SignInResult{Account: Account{UserID: "u1", UPN: "robin@example.org", DisplayName: "Robin"}, RefreshToken: "refresh-0"}, got)
		require.GreaterOrEqual(t, time.Since(begin), 20*time.Second, "four questions at the service's pace")
	})
}

func TestDeviceLoginSlowsDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		_, err := startDevice(t, deviceServer(t, 5, 900, func(w http.ResponseWriter, r *http.Request) { tokenError(w, 400, "slow_down", 0) }, granted)).Wait(t.Context())
		require.NoError(t, err)
		require.GreaterOrEqual(t, time.Since(begin), 15*time.Second)
	})
}

func TestDeviceLoginEnds(t *testing.T) {
	fail := func(code string) func(http.ResponseWriter, *http.Request) {
		return func(w http.ResponseWriter, _ *http.Request) { tokenError(w, 400, code, 0) }
	}
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request)
		want   error
		kind   Kind
	}{
		"declined":         {fail("authorization_declined"), ErrDeclined, KindSignInExpired},
		"expired":          {fail("expired_token"), ErrCodeExpired, KindSignInExpired},
		"never entered":    {pending, ErrCodeExpired, KindSignInExpired},
		"no refresh token": {func(w http.ResponseWriter, r *http.Request) { tokenAnswer(w, r, "access", 3600, "") }, nil, KindPermission},
		"public flows off": {fail("invalid_client"), nil, KindSignInExpired},
		"token not for us": {func(w http.ResponseWriter, r *http.Request) { tokenAnswer(w, r, "other", 3600, "r") }, nil, KindSignInExpired},
		"sign-in down":     {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(503) }, ErrCodeExpired, KindSignInExpired},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				_, err := startDevice(t, deviceServer(t, 5, 900, c.answer)).Wait(t.Context())
				require.Error(t, err)
				require.Equal(t, c.kind, KindOf(err), err)
				if c.want != nil {
					require.ErrorIs(t, err, c.want)
				}
			})
		})
	}
	t.Run("given up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			d := startDevice(t, deviceServer(t, 5, 900, pending))
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err := d.Wait(ctx)
			require.ErrorIs(t, err, context.DeadlineExceeded)
		})
	})
	t.Run("sign-in refuses", func(t *testing.T) {
		_, err := StartDeviceLogin(t.Context(), inMemory(t, func(w http.ResponseWriter, _ *http.Request) { tokenError(w, 400, "unauthorized_client", 700016) }))
		require.Contains(t, typedError(t, err).Hint, "network.client_id")
	})
}

// inMemory is a sign-in configuration whose server is a function.
func inMemory(t *testing.T, h http.HandlerFunc) DelegatedConfig {
	t.Helper()
	e, err := Cloud("global")
	require.NoError(t, err)
	client, err := NewHTTPClient(HTTPOptions{Endpoints: e, Limiter: NewLimiter(LimiterOptions{}), Transport: handlerTransport{h}, Logger: zerolog.Nop()})
	require.NoError(t, err)
	return DelegatedConfig{Endpoints: e, TenantID: "tenant-1", ClientID: "app-1", HTTP: client}
}

type handlerTransport struct{ h http.Handler }

func (h handlerTransport) RoundTrip(r *http.Request) (resp *http.Response, err error) {
	defer func() {
		if recover() != nil {
			resp, err = nil, io.ErrUnexpectedEOF
		}
	}()
	w := httptest.NewRecorder()
	h.h.ServeHTTP(w, r)
	return w.Result(), nil
}
