package stack

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gopkg.in/yaml.v3"

	"teamsbridge/internal/freeport"
)

type dendrite struct {
	binary, dir string
	port        int
	proc        *process
}

// NewDendrite prepares a Dendrite with SQLite in dir that knows the
// appservice registrations. Rate limits are off, as an operator would exempt
// the bridge; federation is off, as nothing else is on this machine.
func NewDendrite(binary, dir string, registrations []string) (Homeserver, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make Dendrite's folder: %w", err)
	}
	port, err := freeport.Get()
	if err != nil {
		return nil, err
	}
	if err = writeMatrixKey(filepath.Join(dir, "matrix_key.pem")); err != nil {
		return nil, err
	}
	db := func(name string) map[string]any {
		path := filepath.Join(dir, name+".db")
		err = errors.Join(err, makeWAL(path))
		return map[string]any{"connection_string": "file:" + path, "max_open_conns": 10, "max_idle_conns": 2, "conn_max_lifetime": -1}
	}
	config := map[string]any{
		"version": 2,
		"global": map[string]any{
			"server_name": "dendrite.test", "private_key": "matrix_key.pem", "disable_federation": true,
			"jetstream": map[string]any{"storage_path": dir, "topic_prefix": "Dendrite"},
			"cache":     map[string]any{"max_size_estimated": "128mb", "max_age": "1h"},
			"presence":  map[string]any{"enable_inbound": false, "enable_outbound": false},
		},
		"app_service_api": map[string]any{"config_files": registrations},
		"client_api": map[string]any{
			"registration_disabled": true, "guests_disabled": true, "registration_shared_secret": registrationSecret,
			"rate_limiting": map[string]any{"enabled": false},
		},
		"federation_api": map[string]any{"database": db("federationapi"), "key_perspectives": []any{}},
		"media_api":      map[string]any{"database": db("mediaapi"), "base_path": filepath.Join(dir, "media"), "max_file_size_bytes": 4 << 30},
		"room_server":    map[string]any{"database": db("roomserver")},
		"key_server":     map[string]any{"database": db("keyserver")},
		"relay_api":      map[string]any{"database": db("relayapi")},
		"mscs":           map[string]any{"database": db("mscs"), "mscs": []string{"msc2946"}},
		"sync_api":       map[string]any{"database": db("syncapi"), "search": map[string]any{"enabled": false}},
		"user_api":       map[string]any{"account_database": db("userapi"), "bcrypt_cost": 4},
		"logging":        []any{map[string]any{"type": "std", "level": "warn"}},
	}
	if err != nil {
		return nil, err
	}
	data, err := yaml.Marshal(config)
	if err != nil {
		return nil, fmt.Errorf("write Dendrite's config: %w", err)
	}
	if err = os.WriteFile(filepath.Join(dir, "dendrite.yaml"), data, 0o600); err != nil {
		return nil, fmt.Errorf("write Dendrite's config: %w", err)
	}
	return &dendrite{binary: binary, dir: dir, port: port}, nil
}

func writeMatrixKey(path string) error {
	seed := make([]byte, ed25519.SeedSize)
	if _, err := rand.Read(seed); err != nil {
		return fmt.Errorf("make Dendrite's key: %w", err)
	}
	block := pem.EncodeToMemory(&pem.Block{Type: "MATRIX PRIVATE KEY", Headers: map[string]string{"Key-ID": "ed25519:stack"}, Bytes: seed})
	if err := os.WriteFile(path, block, 0o600); err != nil {
		return fmt.Errorf("write Dendrite's key: %w", err)
	}
	return nil
}

func (d *dendrite) Name() string       { return "dendrite" }
func (d *dendrite) ServerName() string { return "dendrite.test" }
func (d *dendrite) URL() string        { return fmt.Sprintf("http://127.0.0.1:%d", d.port) }

func (d *dendrite) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	proc, err := startProcess("Dendrite", filepath.Join(d.dir, "dendrite.log"), processOptions{dir: d.dir, program: d.binary, args: []string{
		"-config", filepath.Join(d.dir, "dendrite.yaml"), "-http-bind-address", fmt.Sprintf("127.0.0.1:%d", d.port), "-https-bind-address", "127.0.0.1:0"}})
	if err != nil {
		return err
	}
	d.proc = proc
	if err = waitHTTP(ctx, proc, d.URL()+"/_matrix/client/versions", 200); err != nil {
		d.Stop()
		return err
	}
	if err = addIndexes(ctx, filepath.Join(d.dir, syncDatabase)); err != nil {
		d.Stop()
		return err
	}
	return nil
}

func (d *dendrite) Stop() {
	if d.proc != nil {
		d.proc.stop(20 * time.Second)
		d.proc = nil
	}
}
