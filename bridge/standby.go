package bridge

import (
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rs/zerolog"
)

// standbyRetry is what callers of an instance that waits are told to wait.
const standbyRetry = 5 * time.Second

// standbyAnswer is for the homeserver, which logs it.
const standbyAnswer = `{"errcode":"ORG.TEAMSBRIDGE.STANDBY","error":"this instance waits, another one has the database"}` + "\n"

// standby is what listens while another instance has the database, where the
// bridge would: whoever calls all the same, past a load balancer that asks for
// readiness, is told to come back. Homeserver and Graph repeat what is answered
// with 503, so nothing is lost by it.
type standby struct {
	addresses []string
	log       zerolog.Logger
	servers   []*http.Server
}

func newStandby(addresses []string, log zerolog.Logger) *standby {
	return &standby{addresses: addresses, log: log}
}

// standbyAddresses are those on which the bridge listens when it works. That of
// a socket in the file system is the other instance's, if it is anyone's.
func (c *Connector) standbyAddresses() (addresses []string) {
	if host := c.main.Config.AppService.Hostname; !strings.HasPrefix(host, "/") {
		addresses = append(addresses, net.JoinHostPort(host, strconv.Itoa(int(c.main.Config.AppService.Port))))
	}
	if c.Config.Webhook.Enabled {
		addresses = append(addresses, c.Config.Webhook.Listen)
	}
	if c.Config.WebLogin.Enabled {
		addresses = append(addresses, c.Config.WebLogin.Listen)
	}
	if c.Config.StatusPage.Enabled {
		addresses = append(addresses, c.Config.StatusPage.Listen)
	}
	return addresses
}

// open listens where it can. An address that is taken, most likely by the
// instance that has the database, on the same machine, needs nobody else there.
func (s *standby) open() {
	for _, address := range s.addresses {
		listener, err := net.Listen("tcp", address)
		if err != nil {
			s.log.Info().Err(err).Msg("Nobody is told here that this instance waits")
			continue
		}
		server := &http.Server{Handler: http.HandlerFunc(answerStandby), ReadHeaderTimeout: 5 * time.Second, ReadTimeout: 10 * time.Second, WriteTimeout: 10 * time.Second}
		s.servers = append(s.servers, server)
		go func() { _ = server.Serve(listener) }()
	}
}

// close makes room for the real listeners.
func (s *standby) close() {
	for _, server := range s.servers {
		_ = server.Close()
	}
	s.servers = nil
}

func answerStandby(w http.ResponseWriter, r *http.Request) {
	if r.URL.Path == "/_matrix/mau/live" {
		w.WriteHeader(http.StatusOK)
		return
	}
	w.Header().Set("Retry-After", strconv.Itoa(int(standbyRetry.Seconds())))
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Connection", "close") // and come back to whoever is ready then
	w.WriteHeader(http.StatusServiceUnavailable)
	_, _ = w.Write([]byte(standbyAnswer))
}
