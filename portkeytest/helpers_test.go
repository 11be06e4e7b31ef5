package portkeytest_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"

	"github.com/portkey-go/portkey/portkeytest"
)

// httpClient does not use http.DefaultTransport: httptest.Server.Close, which Gateway.Close calls, closes the idle
// connections of http.DefaultTransport, also those that a parallel test is about to use.
var httpClient = &http.Client{Transport: new(http.Transport)}

const chatBody = `{"model":"m1","messages":[{"role":"user","content":"hi"}]}`

// portkeyHeader returns the header of a JSON request with x-portkey-* headers. The pairs are names without the prefix,
// and values.
func portkeyHeader(pairs ...string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(pairs); i += 2 {
		h.Add("X-Portkey-"+pairs[i], pairs[i+1])
	}
	return h
}

// send sends a request to a path relative to the gateway's URL and returns the response and its body. An error fails
// the test.
func send(t *testing.T, gw *portkeytest.Gateway, method, path string, header http.Header,
	body string) (*http.Response, string) {

	t.Helper()
	resp, respBody, err := trySend(t, gw, method, path, header, body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, respBody
}

// trySend is like send, but returns the error. The response is nil unless the error occurred in its body.
func trySend(t *testing.T, gw *portkeytest.Gateway, method, path string, header http.Header,
	body string) (*http.Response, string, error) {

	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, gw.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	resp, err := httpClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

// postChat sends a chat completion.
func postChat(t *testing.T, gw *portkeytest.Gateway, header http.Header, body string) (*http.Response, string) {
	t.Helper()
	return send(t, gw, "POST", "/chat/completions", header, body)
}

// A fakeTB is a portkeytest.TB that records what a test would report.
type fakeTB struct {
	mu       sync.Mutex
	errors   []string
	cleanups []func()
}

func (f *fakeTB) Helper() {}

func (f *fakeTB) Cleanup(cleanup func()) { f.cleanups = append(f.cleanups, cleanup) }

func (f *fakeTB) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}

// end ends the test and returns its errors.
func (f *fakeTB) end() []string {
	for _, cleanup := range f.cleanups {
		cleanup()
	}
	return f.errors
}

// checkErrors checks that the errors are one that contains want, or none if want is "".
func checkErrors(t *testing.T, got []string, want string) {
	t.Helper()
	if want == "" && len(got) != 0 || want != "" && (len(got) != 1 || !strings.Contains(got[0], want)) {
		t.Errorf("errors of the test: got %q, want %q", got, want)
	}
}

func checkEqual[T comparable](t *testing.T, name string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", name, got, want)
	}
}

func checkContains(t *testing.T, name, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s: got %q, want it to contain %q", name, got, want)
	}
}

// decodeJSON decodes a body.
func decodeJSON(t *testing.T, body string, v any) {
	t.Helper()
	if err := json.Unmarshal([]byte(body), v); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
}

// checkJSON checks that two JSON texts have the same value.
func checkJSON(t *testing.T, name, got, want string) {
	t.Helper()
	var gotValue, wantValue any
	decodeJSON(t, got, &gotValue)
	decodeJSON(t, want, &wantValue)
	if !reflect.DeepEqual(gotValue, wantValue) {
		t.Errorf("%s: got %s, want %s", name, got, want)
	}
}
