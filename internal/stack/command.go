package stack

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// command is how a process of somebody else's was started, so that it can be
// started again with the same data. It is read from /proc, which Linux has.
type command struct {
	// root is the process's file system, in which the other paths are.
	root, dir, program string
	args, env          []string
}

// commandOf reads how a running process was started.
func commandOf(pid int) (command, error) {
	proc := fmt.Sprintf("/proc/%d/", pid)
	var c command
	var err error
	read := func(name string, get func(string) (string, error)) (value string) {
		if err == nil {
			value, err = get(proc + name)
		}
		return value
	}
	list := func(path string) (string, error) {
		data, readErr := os.ReadFile(path)
		return strings.TrimSuffix(string(data), "\x00"), readErr
	}
	c.root = read("root", os.Readlink)
	c.dir = read("cwd", os.Readlink)
	c.program = read("exe", os.Readlink)
	c.args = strings.Split(read("cmdline", list), "\x00")
	c.env = strings.Split(read("environ", list), "\x00")
	if err != nil {
		return command{}, fmt.Errorf("read how process %d was started: %w", pid, err)
	}
	if c.program, err = filepath.Rel(c.root, c.program); err != nil || strings.HasPrefix(c.program, "..") {
		return command{}, fmt.Errorf("the program of process %d is not in its root %s", pid, c.root)
	}
	c.program = filepath.Join("/", c.program)
	// The folder may be outside of the root: a program that starts a chroot often stays where it was called.
	if c.dir, err = filepath.Rel(c.root, c.dir); err != nil || strings.HasPrefix(c.dir, "..") {
		c.dir = "."
	}
	c.dir = filepath.Join("/", c.dir)
	return c, nil
}

// start runs the command again, with its output appended to logPath.
func (c command) start(name, logPath string) (*process, error) {
	return startProcess(name, logPath, processOptions{dir: c.dir, root: c.root, env: c.env, program: c.program, args: c.args[1:]})
}
