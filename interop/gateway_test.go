package interop

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

func TestMain(m *testing.M) {
	// The library reads these. A developer's own settings must not decide what is
	// tested, nor a real key be sent anywhere.
	os.Unsetenv("PORTKEY_API_KEY")
	os.Unsetenv("PORTKEY_BASE_URL")

	// An httptest.Server that closes would close its idle connections under
	// another test's hands.
	http.DefaultTransport = onlyRoundTrip{http.DefaultTransport}

	code := m.Run()
	if gateway.process != nil {
		gateway.process.stop()
	}
	if code != 0 && gateway.log.Len() > 0 {
		fmt.Fprintf(os.Stderr, "the gateway's log:\n%s\n", &gateway.log)
	}
	os.Exit(code)
}

type onlyRoundTrip struct{ http.RoundTripper }

// gateway is the gateway process that the tests share. A test that ends one starts its own.
var gateway struct {
	once    sync.Once
	process *gatewayProcess
	err     error
	log     syncBuffer
}

// errNoNode is why the tests are skipped on a machine without Node.js.
var errNoNode = errors.New("the gateway needs node and npm")

// gatewayURL returns the base URL of the gateway. The first call starts it.
func gatewayURL(t *testing.T) string {
	t.Helper()
	gateway.once.Do(func() { gateway.process, gateway.err = startGateway(&gateway.log, 0) })
	switch {
	case gateway.err == nil:
		return gateway.process.url
	case errors.Is(gateway.err, errNoNode) && os.Getenv("CI") != "true":
		t.Skip(gateway.err)
	default:
		// The log follows when all tests have ended.
		t.Fatalf("the gateway did not start: %v", gateway.err)
	}
	return ""
}

// A gatewayProcess is a running gateway.
type gatewayProcess struct {
	url   string // with its version path
	cmd   *exec.Cmd
	stdin io.Closer
	ended chan struct{}
}

// startGateway starts a gateway on the port, or on a free one if port is 0. Its environment
// is env and what Node.js needs.
func startGateway(log io.Writer, port int, env ...string) (*gatewayProcess, error) {
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

	p := &gatewayProcess{cmd: cmd, stdin: stdin, ended: make(chan struct{})}
	listening := make(chan string, 1)
	go func() {
		defer close(p.ended)
		lines := bufio.NewReader(io.TeeReader(stderr, log))
		for {
			line, err := lines.ReadString('\n')
			if url, ok := strings.CutPrefix(strings.TrimSpace(line), "loopback: listening on "); ok {
				listening <- url
			}
			if err != nil {
				break
			}
		}
		cmd.Wait()
	}()

	select {
	case url := <-listening:
		p.url = url + "/v1"
		return p, nil
	case <-p.ended:
		return nil, fmt.Errorf("it ended: %v", cmd.ProcessState)
	case <-time.After(time.Minute):
		p.kill()
		return nil, errors.New("it does not listen after a minute")
	}
}

// stop ends the gateway, and waits until it has ended.
func (p *gatewayProcess) stop() {
	p.stdin.Close()
	select {
	case <-p.ended:
	case <-time.After(5 * time.Second):
		p.kill()
	}
}

// kill ends the gateway at once.
func (p *gatewayProcess) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}

// terminate asks the gateway to end, as process managers do, and waits until it has ended.
func (p *gatewayProcess) terminate() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.ended
}

// install has npm install what the lock file says, unless it did so before.
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
	// npm ci starts by removing the directory, so a stamp is one of a finished install.
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
	// No package's own scripts: nothing of what is installed needs one to work.
	if out, err := exec.CommandContext(ctx, npm, "ci", "--ignore-scripts").CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci: %w\n%s", err, out)
	}
	return os.WriteFile(stamp, []byte(want), 0o644)
}

// A syncBuffer is a bytes.Buffer that several goroutines may write to.
type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Len()
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
