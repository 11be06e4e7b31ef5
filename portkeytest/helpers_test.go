package portkeytest_test

import (
	"io"
	"net/http"
	"strings"
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
