// Package realgateway runs the open-source Portkey gateway from npm for the tests in
// interop and interop/genkit. It is a module of its own because both of them import
// it, and their dependencies do not build together.
//
// The working directory of the tests must be interop, where package.json is.
package realgateway

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Main runs the tests of a package, stops the gateway, and exits. If a test failed, it
// prints the log of the gateway.
func Main(m *testing.M) {
	// The library reads these. A developer's own settings must not decide what is
	// tested, and a real key must not be sent anywhere.
	os.Unsetenv("PORTKEY_API_KEY")
	os.Unsetenv("PORTKEY_BASE_URL")

	// httptest.Server.Close closes the idle connections of http.DefaultTransport,
	// which other tests are using.
	http.DefaultTransport = onlyRoundTrip{http.DefaultTransport}

	code := m.Run()
	if gateway.process != nil {
		gateway.process.Stop()
	}
	if code != 0 && Printed() != "" {
		fmt.Fprintf(os.Stderr, "the gateway's log:\n%s\n", Printed())
	}
	os.Exit(code)
}

type onlyRoundTrip struct{ http.RoundTripper }

// gateway is the process that the tests share. A test that ends one starts its own.
var gateway struct {
	once    sync.Once
	process *Process
	err     error
	log     Log
}

// errNoNode is why tests are skipped on a machine without Node.js.
var errNoNode = errors.New("the gateway needs node and npm")

// URL returns the base URL of the gateway. The first call installs and starts it.
// Without Node.js the test is skipped, unless $CI is true.
func URL(t *testing.T) string {
	t.Helper()
	gateway.once.Do(func() { gateway.process, gateway.err = Start(&gateway.log, 0) })
	switch {
	case gateway.err == nil:
		return gateway.process.URL
	case errors.Is(gateway.err, errNoNode) && os.Getenv("CI") != "true":
		t.Skip(gateway.err)
	default:
		// Main prints the log when all tests have ended.
		t.Fatalf("the gateway did not start: %v", gateway.err)
	}
	return ""
}

// Printed returns what the gateway has printed so far.
func Printed() string { return gateway.log.String() }

// A Process is a running gateway.
type Process struct {
	URL string // with its version path

	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}
}

// Start starts a gateway on the port, or on a free one if port is 0. Its environment is env
// and what Node.js needs.
func Start(log *Log, port int, env ...string) (*Process, error) {
	node, err := exec.LookPath("node")
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errNoNode, err)
	}
	if err := install(); err != nil {
		return nil, err
	}
	cmd := exec.Command(node, "--require", "./loopback.cjs",
		"node_modules/@portkey-ai/gateway/build/start-server.js", "--headless", fmt.Sprintf("--port=%d", port))
	// The gateway reads its settings, and some providers' keys, from the
	// environment. PATH and HOME are for a node that is a version manager's script.
	cmd.Env = append([]string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}, env...)
	return run(cmd, log)
}

// StartDirectory copies a directory whose "npm start" runs the gateway, and runs it on
// a free port with these environment variables until the test ends. It returns the
// gateway's base URL. A copy is used because npm start installs anew, and the directory
// may be in use.
func StartDirectory(t *testing.T, dir string, env ...string) string {
	t.Helper()
	npm, err := exec.LookPath("npm")
	if err != nil {
		if os.Getenv("CI") != "true" {
			t.Skip(errNoNode)
		}
		t.Fatal(err)
	}
	copied := t.TempDir()
	for _, name := range []string{".npmrc", "package.json", "package-lock.json", "loopback.cjs"} {
		text, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(copied, name), text, 0o644); err != nil {
			t.Fatal(err)
		}
	}

	cmd := exec.Command(npm, "start", "--", "--port=0")
	cmd.Dir = copied
	cmd.Env = append(os.Environ(), env...) // npm's settings may be in the environment
	var log Log
	process, err := run(cmd, &log)
	if err != nil {
		t.Fatalf("npm start: %v\n%s", err, log.String())
	}
	t.Cleanup(func() {
		process.Stop()
		if t.Failed() {
			t.Logf("npm start printed:\n%s", log.String())
		}
	})
	return process.URL
}

// run starts a gateway that prints its address and ends when its stdin does.
func run(cmd *exec.Cmd, log *Log) (*Process, error) {
	cmd.Stdout = log
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}

	p := &Process{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	listening := make(chan string, 1)
	go func() {
		defer close(p.ended)
		lines := bufio.NewReader(io.TeeReader(stderr, log))
		for {
			line, err := lines.ReadString('\n')
			if origin, ok := strings.CutPrefix(strings.TrimSpace(line), "listening on "); ok {
				listening <- origin
			}
			if err != nil {
				break
			}
		}
		cmd.Wait()
	}()

	select {
	case origin := <-listening:
		p.URL = origin + "/v1"
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("it ended: %v", cmd.ProcessState)
	case <-time.After(3 * time.Minute): // npm start installs first
		p.Kill()
		return nil, errors.New("it does not listen after three minutes")
	}
}

// Stop ends the gateway, and waits until it has ended.
func (p *Process) Stop() {
	p.stdin.Close()
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		p.Kill()
	}
}

// Kill ends the gateway at once.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// Terminate asks the gateway to end, as process managers do, and waits until it has ended.
func (p *Process) Terminate() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.ended
}

// install installs from the lock file, unless that was done before.
func install() error {
	sum := sha256.New()
	for _, name := range []string{"package.json", "package-lock.json"} {
		text, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		sum.Write(text)
	}
	want := hex.EncodeToString(sum.Sum(nil))
	// npm ci starts by removing the directory, so the stamp is written by a finished
	// install.
	stamp := filepath.Join("node_modules", ".interop-installed")
	if got, err := os.ReadFile(stamp); err == nil && string(got) == want {
		return nil
	}

	npm, err := exec.LookPath("npm")
	if err != nil {
		return fmt.Errorf("%w: %v", errNoNode, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Minute)
	defer cancel()
	// No package needs its install scripts to work.
	if out, err := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts").CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return os.WriteFile(stamp, []byte(want), 0o644)
}

// A Log is a buffer that several goroutines may write to.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *Log) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *Log) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
