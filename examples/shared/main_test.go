package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"testing"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

func TestOtherTrafficGoesOnAsBefore(t *testing.T) {
	for _, name := range []string{"PORTKEY_API_KEY", "PORTKEY_BASE_URL", "OPENAI_API_KEY"} {
		t.Setenv(name, "")
	}
	original := http.DefaultTransport
	var out bytes.Buffer
	if err := run(t.Context(), &out); err != nil {
		t.Fatal(err)
	}
	const calls = `
  gateway: You said: hello
  other service: received / with API key ""
  refused http://api.openai.com/v1/models
  refused https://api.openai.com:8443/v1/models
  refused a redirect to https://api.openai.com/v1/models
`
	want := "with the http.Client of the program:" + calls + "with http.DefaultTransport:" + calls
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if http.DefaultTransport != original {
		t.Error("http.DefaultTransport was not restored")
	}
}

// The comment of replaceDefaultTransport lists what the other tests show.

func TestDefaultTransportIsNoLongerAnHTTPTransport(t *testing.T) {
	replaceForTest(t)
	if _, ok := http.DefaultTransport.(*http.Transport); ok {
		t.Error("http.DefaultTransport is an *http.Transport: correct the comment")
	}
}

func TestClientsWithoutATransportGoThroughTheGateway(t *testing.T) {
	gateway := replaceForTest(t)
	own := roundTripperFunc(func(req *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: req}, nil
	})
	for _, tt := range []struct {
		name   string
		client *http.Client
		want   int
	}{
		{"no Transport", new(http.Client), 1},
		{"a Transport of its own", &http.Client{Transport: own}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			before := len(gateway.Requests())
			if _, err := get(t.Context(), tt.client, "https://api.openai.com/v1/models"); err != nil {
				t.Fatal(err)
			}
			if got := len(gateway.Requests()) - before; got != tt.want {
				t.Errorf("got %d requests at the gateway, want %d", got, tt.want)
			}
		})
	}
}

func TestReverseProxyWithoutATransportGoesThroughTheGateway(t *testing.T) {
	gateway := replaceForTest(t)
	proxy := &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(&url.URL{Scheme: "https", Host: "api.openai.com"})
	}}
	req := httptest.NewRequest("GET", "/v1/models", nil)
	req.Header.Set("X-Portkey-Trace-Id", "outside")
	proxy.ServeHTTP(httptest.NewRecorder(), req)
	if requests := gateway.Requests(); len(requests) != 1 || requests[0].TraceID() != "outside" {
		t.Errorf("got %v at the gateway, want one request with the trace ID from outside", requests)
	}
}

// replaceForTest replaces http.DefaultTransport during the test and returns the gateway.
func replaceForTest(t *testing.T) *portkeytest.Gateway {
	t.Helper()
	gateway := portkeytest.NewGateway(t)
	opts := portkey.Options{BaseURL: gateway.URL(), Headers: portkey.Headers{APIKey: "pk"}, PassUnknownHosts: true}
	restore, err := replaceDefaultTransport(opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(restore)
	return gateway
}

type roundTripperFunc func(*http.Request) (*http.Response, error)

func (f roundTripperFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }
