package portkey_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
)

const openAIChat = "https://api.openai.com/v1/chat/completions"

// newTestedTransport makes the RoundTripper under test. The build tag naive
// replaces it with a RoundTripper that breaks the promises: see naive_test.go.
var newTestedTransport = func(base http.RoundTripper, opts portkey.Options) (http.RoundTripper, error) {
	return portkey.NewTransport(base, opts)
}

func newTransport(t *testing.T, base http.RoundTripper, opts portkey.Options) http.RoundTripper {
	t.Helper()
	tr, err := newTestedTransport(base, opts)
	if err != nil {
		t.Fatal(err)
	}
	return tr
}

// newClient returns a client whose Transport sends to the gateway s.
func newClient(t *testing.T, s *server, opts portkey.Options) *http.Client {
	t.Helper()
	if opts.BaseURL == "" {
		opts.BaseURL = s.URL + "/v1"
	}
	return &http.Client{Transport: newTransport(t, nil, opts)}
}

// loopback is a base that sends. It is not http.DefaultTransport, whose idle
// connections httptest.Server.Close closes, also those of other tests.
var loopback = http.DefaultTransport.(*http.Transport).Clone()

func noTrace(context.Context) string { return "" }

func newRequest(t *testing.T, ctx context.Context, method, url, body string) *http.Request {
	t.Helper()
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	req, err := http.NewRequestWithContext(ctx, method, url, r)
	if err != nil {
		t.Fatal(err)
	}
	return req
}

// do sends req and returns the response and its body.
func do(t *testing.T, c *http.Client, req *http.Request) (*http.Response, string) {
	t.Helper()
	resp, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(body)
}

// A server records the requests that it receives and answers with its handler.
type server struct {
	*httptest.Server
	mu       sync.Mutex
	requests []receivedRequest
}

type receivedRequest struct {
	method, host, uri string
	header            http.Header
	body              string
}

// newServer starts a server on the loopback interface. A nil handler answers 200
// with an empty body.
func newServer(t *testing.T, handler http.HandlerFunc) *server {
	t.Helper()
	s := new(server)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.mu.Lock()
		s.requests = append(s.requests, receivedRequest{r.Method, r.Host, r.RequestURI, r.Header.Clone(), string(body)})
		s.mu.Unlock()
		if handler != nil {
			handler(w, r)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *server) all() []receivedRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.requests)
}

func (s *server) last(t *testing.T) receivedRequest {
	t.Helper()
	all := s.all()
	if len(all) == 0 {
		t.Fatal("the server received no request")
	}
	return all[len(all)-1]
}

// portkeyHeaders returns the x-portkey-* headers of the request.
func (r receivedRequest) portkeyHeaders() http.Header {
	h := http.Header{}
	for key, values := range r.header {
		if strings.HasPrefix(key, "X-Portkey-") {
			h[key] = values
		}
	}
	return h
}

// A recorder is a base RoundTripper that records the requests that it receives
// and answers with respond. A nil respond answers 200 with an empty body.
type recorder struct {
	respond  func(*http.Request) (*http.Response, error)
	mu       sync.Mutex
	requests []*http.Request
}

func (r *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.requests = append(r.requests, req)
	r.mu.Unlock()
	if r.respond != nil {
		return r.respond(req)
	}
	if req.Body != nil {
		req.Body.Close()
	}
	return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: http.NoBody, Request: req}, nil
}

func (r *recorder) all() []*http.Request {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.requests)
}

func (r *recorder) last(t *testing.T) *http.Request {
	t.Helper()
	all := r.all()
	if len(all) == 0 {
		t.Fatal("the base received no request")
	}
	return all[len(all)-1]
}

// notCalled returns a base that fails the test if a request reaches it.
func notCalled(t *testing.T) *recorder {
	return &recorder{respond: func(r *http.Request) (*http.Response, error) {
		t.Errorf("the base received a request for %v", r.URL)
		return nil, errors.New("not called")
	}}
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

type closerFunc func() error

func (f closerFunc) Close() error { return f() }

// A countingBody counts how often it is closed.
type countingBody struct {
	io.Reader
	closed atomic.Int32
}

func newCountingBody() *countingBody { return &countingBody{Reader: strings.NewReader("{}")} }

func (b *countingBody) Close() error { b.closed.Add(1); return nil }

// newTLSServer starts a server that does not log failed handshakes.
func newTLSServer(t *testing.T, config *tls.Config) *httptest.Server {
	t.Helper()
	s := httptest.NewUnstartedServer(http.NotFoundHandler())
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.TLS = config
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// checkNoneLeft waits up to 5 s until count returns 0: goroutines of net/http
// close connections and bodies later than the call that ends them.
func checkNoneLeft(t *testing.T, what string, count func() int) {
	t.Helper()
	for until := time.Now().Add(5 * time.Second); count() > 0 && time.Now().Before(until); {
		time.Sleep(time.Millisecond)
	}
	if n := count(); n > 0 {
		buf := make([]byte, 1<<16)
		t.Errorf("%d %s left:\n%s", n, what, buf[:runtime.Stack(buf, true)])
	}
}

// foreign returns the URL of s with another name for its host, which makes it
// another origin.
func foreign(s *server) string { return strings.Replace(s.URL, "127.0.0.1", "localhost", 1) }

// redirectTo returns a handler that redirects a request to the URL that locations
// has for its path. Other paths answer 200. The URLs are functions because that
// of the server itself is known only after it has started.
func redirectTo(status int, locations map[string]func() string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if location, ok := locations[r.URL.Path]; ok {
			w.Header().Set("Location", location())
			w.WriteHeader(status)
		}
	}
}

// ownHeaders sets secret headers of Portkey, of a provider and of HTTP that a
// caller may set on a request.
func ownHeaders(h http.Header) {
	h["X-PORTKEY-VIRTUAL-KEY"] = []string{"own-" + secret}
	h["x-portkey-unheard-of"] = []string{"own-" + secret}
	h["x-api-key"] = []string{"own-" + secret}
	h.Set("Api-Key", "own-"+secret)
	h.Set("Authorization", "Bearer own-"+secret)
	h.Set("Cookie", "own="+secret)
	h.Set("Proxy-Authorization", "own-"+secret)
	for _, key := range []string{
		"Referer", "Ocp-Apim-Subscription-Key", "Xi-Api-Key", "X-Auth-Token", "X-Amz-Security-Token", "X_portkey_api_key", "x-unheard-of",
	} {
		h[key] = []string{"own-" + secret}
	}
}

// A restoringTransport sets Response.Request to the client's request, as some tracing
// and caching RoundTrippers do.
type restoringTransport struct{ http.RoundTripper }

func (t restoringTransport) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(req)
	if resp != nil {
		resp.Request = req
	}
	return resp, err
}

// secretOptions returns Options with secrets in headers of several kinds.
func secretOptions() portkey.Options {
	return portkey.Options{Headers: portkey.Headers{
		APIKey: secret, Config: portkey.ConfigJSON(`{"retry":{"attempts":1},"api_key":"` + secret + `"}`),
		AWS: portkey.AWS{SecretAccessKey: secret}, Metadata: portkey.Metadata{"who": secret},
	}}
}

// checkNoSecret checks that a request contains neither the secret nor an
// x-portkey-* header. where names the host or hop that received it.
func checkNoSecret(t *testing.T, where string, got receivedRequest) {
	t.Helper()
	if text := fmt.Sprint(got); strings.Contains(text, secret) {
		t.Errorf("%s received a secret: %s", where, text)
	}
	for key := range got.header {
		if strings.HasPrefix(strings.ToLower(key), "x-portkey-") {
			t.Errorf("%s received header %s", where, key)
		}
	}
}
