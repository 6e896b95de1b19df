package pgserver

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"sort"
	"strconv"
	"syscall"
	"time"

	_ "github.com/lib/pq" // registers the postgres driver

	"teamsbridge/internal/freeport"
)

const startTimeout = 60 * time.Second

// Server is a running PostgreSQL server.
type Server struct {
	dir, data string
	options   string // of the server's command line
	tools     tools
	cred      *syscall.Credential
	uri       *url.URL
}

// ErrNotInstalled says that there are no PostgreSQL server programs.
var ErrNotInstalled = errors.New("initdb and pg_ctl were not found (package postgresql)")

// Start makes a cluster and starts it. Stop ends it and removes its data.
func Start() (_ *Server, err error) {
	s := &Server{}
	if s.tools, err = findTools(); err != nil {
		return nil, err
	}
	if s.cred, err = unprivileged(); err != nil {
		return nil, err
	}
	if s.dir, err = os.MkdirTemp("", "teamsbridge-postgres-"); err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	defer func() {
		if err != nil {
			_ = os.RemoveAll(s.dir)
		}
	}()
	if s.cred != nil {
		if err = os.Chown(s.dir, int(s.cred.Uid), int(s.cred.Gid)); err != nil {
			return nil, fmt.Errorf("hand the directory to an unprivileged user: %w", err)
		}
	}
	port, err := freeport.Get()
	if err != nil {
		return nil, err
	}
	s.data = filepath.Join(s.dir, "data")
	if err = s.run(s.tools.initdb, "-D", s.data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync"); err != nil {
		return nil, err
	}
	s.options = fmt.Sprintf("-c listen_addresses=127.0.0.1 -c port=%d -c unix_socket_directories= -c max_connections=200", port)
	if err = s.run(s.tools.pgCtl, "-D", s.data, "-o", s.options, "-l", filepath.Join(s.dir, "log"), "-w", "-t", "60", "start"); err != nil {
		return nil, err
	}
	s.uri = &url.URL{
		Scheme: "postgres", User: url.User("postgres"), Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)),
		Path: "/postgres", RawQuery: "sslmode=disable",
	}
	return s, nil
}

// URI is the connection string of the server's own database, as its superuser.
func (s *Server) URI() *url.URL {
	uri := *s.uri
	return &uri
}

// Create makes an empty database and returns its connection string.
func (s *Server) Create(ctx context.Context, name string) (string, error) {
	db, err := sql.Open("postgres", s.uri.String())
	if err != nil {
		return "", fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { _ = db.Close() }()
	if _, err = db.ExecContext(ctx, "CREATE DATABASE "+name); err != nil {
		return "", fmt.Errorf("make the database %s: %w", name, err)
	}
	uri := s.URI()
	uri.Path = "/" + name
	return uri.String(), nil
}

// Dump writes one of its databases to a file, as an operator's backup does, while
// it is in use.
func (s *Server) Dump(database, file string) error {
	return s.client("pg_dump", "--format=custom", "--file="+file, s.of(database))
}

// Load fills an empty database from such a file.
func (s *Server) Load(database, file string) error {
	return s.client("pg_restore", "--no-owner", "--exit-on-error", "--dbname="+s.of(database), file)
}

func (s *Server) of(database string) string {
	uri := s.URI()
	uri.Path = "/" + database
	return uri.String()
}

// Size is how many bytes one of its databases has on the disk.
func (s *Server) Size(database string) (n int64, err error) {
	db, err := sql.Open("postgres", s.uri.String())
	if err != nil {
		return 0, fmt.Errorf("connect to PostgreSQL: %w", err)
	}
	defer func() { _ = db.Close() }()
	if err = db.QueryRow("SELECT pg_database_size($1)", database).Scan(&n); err != nil {
		return 0, fmt.Errorf("ask for the size of %s: %w", database, err)
	}
	return n, nil
}

// client runs one of the client programs that come with the server's.
func (s *Server) client(name string, args ...string) error {
	server, err := filepath.EvalSymlinks(s.tools.initdb)
	if err != nil {
		return fmt.Errorf("find %s: %w", name, err)
	}
	program := filepath.Join(filepath.Dir(server), name)
	if out, err := exec.Command(program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %.500s", name, err, out)
	}
	return nil
}

// Restart ends the server at once, as a crash would, and starts it again.
func (s *Server) Restart() error {
	return s.run(s.tools.pgCtl, "-D", s.data, "-m", "immediate", "-w", "-t", "60", "-l", filepath.Join(s.dir, "log"), "-o", s.options, "restart")
}

// Stop ends the server and removes everything.
func (s *Server) Stop() error {
	err := s.run(s.tools.pgCtl, "-D", s.data, "-m", "immediate", "-w", "stop")
	return errors.Join(err, os.RemoveAll(s.dir))
}

type tools struct{ initdb, pgCtl string }

// findTools looks in the PATH and where distributions keep the server programs.
func findTools() (t tools, err error) {
	if t.initdb, err = exec.LookPath("initdb"); err == nil {
		if t.pgCtl, err = exec.LookPath("pg_ctl"); err == nil {
			return t, nil
		}
	}
	dirs, err := filepath.Glob("/usr/lib/postgresql/*/bin")
	if err != nil {
		return t, fmt.Errorf("look for PostgreSQL: %w", err)
	}
	sort.Sort(sort.Reverse(sort.StringSlice(dirs)))
	for _, dir := range dirs {
		t = tools{initdb: filepath.Join(dir, "initdb"), pgCtl: filepath.Join(dir, "pg_ctl")}
		if _, err := os.Stat(t.initdb); err != nil {
			continue
		}
		if _, err := os.Stat(t.pgCtl); err == nil {
			return t, nil
		}
	}
	return t, ErrNotInstalled
}

// unprivileged returns whom to run the server as: PostgreSQL refuses root.
func unprivileged() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err := strconv.ParseUint(u.Uid, 10, 32)
		if err != nil {
			continue
		}
		gid, err := strconv.ParseUint(u.Gid, 10, 32)
		if err != nil {
			continue
		}
		return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
	}
	return nil, errors.New("running as root, and there is no user postgres or nobody to run the server as")
}

func (s *Server) run(name string, args ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 2*startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	// A group of its own, so that Ctrl-C in a terminal does not end it before
	// those that use it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.cred, Setpgid: true}
	// The server inherits the output, so it goes to a file: a pipe would never end.
	out, err := os.CreateTemp("", "teamsbridge-postgres-out-")
	if err != nil {
		return fmt.Errorf("capture output: %w", err)
	}
	defer func() { _ = out.Close(); _ = os.Remove(out.Name()) }()
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Run(); err != nil {
		text, _ := os.ReadFile(out.Name())
		return fmt.Errorf("%s: %w: %.500s", filepath.Base(name), err, text)
	}
	return nil
}
