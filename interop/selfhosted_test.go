package interop

import (
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/portkey-go/portkey/interop/internal/realgateway"
)

// The test follows docs/gateway.md, with a server of its own in place of OpenAI.
func TestSelfHostedGateway(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	preload, err := filepath.Abs("openai.cjs")
	if err != nil {
		t.Fatal(err)
	}
	baseURL := realgateway.StartDirectory(t, "../gateway", "NODE_OPTIONS=--require="+preload, "OPENAI_SERVER="+u.URL)

	t.Run("streams to examples/chat", func(t *testing.T) {
		cmd := exec.CommandContext(t.Context(), "go", "run", "./examples/chat", "Say this is a test")
		cmd.Dir = ".."
		cmd.Env = append(os.Environ(), "PORTKEY_BASE_URL="+baseURL, "OPENAI_API_KEY=sk-test")
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("go run ./examples/chat: %v\n%s", err, out)
		}
		if answer := strings.Join(pieces, ""); !strings.HasPrefix(string(out), answer+"\n") {
			t.Errorf("got\n%s\nwant it to start with %q", out, answer)
		}
		r := u.only(t)
		r.checkURL(t, http.MethodPost, "/v1/chat/completions")
		r.checkHeader(t, "Authorization", "Bearer sk-test")
	})
	t.Run("listens on 127.0.0.1 only", func(t *testing.T) {
		address, err := url.Parse(baseURL)
		if err != nil {
			t.Fatal(err)
		}
		// On Linux, a server on all interfaces is reached by any loopback address.
		conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.2", address.Port()), time.Second)
		if err == nil {
			conn.Close()
			t.Error("got a connection to 127.0.0.2, want none")
		}
	})
}
