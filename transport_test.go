package portkey_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
)

func TestMain(m *testing.M) {
	os.Unsetenv("PORTKEY_API_KEY")
	os.Unsetenv("PORTKEY_BASE_URL")
	os.Exit(m.Run())
}

func TestKnownProviderIsRerouted(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, url, wantURI string }{
		{"endpoint", openAIChat, "/v1/chat/completions"},
		{"query", "https://api.openai.com/v1/models?limit=2&after=a%20b", "/v1/models?limit=2&after=a%20b"},
		{"escaped slash and empty query", "https://api.openai.com/v1/models/ft%2Fa?", "/v1/models/ft%2Fa?"},
		{"base URL", "https://api.openai.com/v1", "/v1"},
	}
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace})
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			do(t, c, newRequest(t, t.Context(), "GET", tt.url, ""))
			got := s.last(t)
			if got.uri != tt.wantURI {
				t.Errorf("got request URI %s, want %s", got.uri, tt.wantURI)
			}
			if want := strings.TrimPrefix(s.URL, "http://"); got.host != want {
				t.Errorf("got Host %s, want %s", got.host, want)
			}
			want := http.Header{"X-Portkey-Provider": {"openai"}}
			if h := got.portkeyHeaders(); !reflect.DeepEqual(h, want) {
				t.Errorf("got headers %v, want %v", h, want)
			}
		})
	}
}

func TestPathOfBaseURLIsKeptWithoutTrailingSlashes(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	tests := []struct{ name, path, url, wantURI string }{
		{"path and slash", "/llm/v1/", "https://api.openai.com/v1/models/a%2Fb", "/llm/v1/models/a%2Fb"},
		{"two slashes", "/v1//", openAIChat, "/v1/chat/completions"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, s, portkey.Options{BaseURL: s.URL + tt.path})
			do(t, c, newRequest(t, t.Context(), "GET", tt.url, ""))
			if got := s.last(t).uri; got != tt.wantURI {
				t.Errorf("got request URI %s, want %s", got, tt.wantURI)
			}
		})
	}
}

func TestRequestToTheGatewayKeepsItsURL(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace, Headers: portkey.Headers{APIKey: "pk"}})
	do(t, c, newRequest(t, t.Context(), "GET", s.URL+"/elsewhere/x?y=z", ""))
	got := s.last(t)
	if want := "/elsewhere/x?y=z"; got.uri != want {
		t.Errorf("got request URI %s, want %s", got.uri, want)
	}
	if h, want := got.portkeyHeaders(), (http.Header{"X-Portkey-Api-Key": {"pk"}}); !reflect.DeepEqual(h, want) {
		t.Errorf("got headers %v, want %v", h, want)
	}
}

func TestUpstreamsAreReroutedAndOverrideKnownProviders(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{Upstreams: []portkey.Upstream{
		{BaseURL: "https://LLM.example.com/api", Provider: "short"},
		{BaseURL: "https://LLM.example.com/api/v2/", Provider: "long"},
		{BaseURL: "https://api.openai.com/v1", Provider: "@mine"},
		{BaseURL: "http://nobody.example.com"},
	}})
	tests := []struct{ name, url, wantURI, wantProvider string }{
		{"longest base URL", "https://LLM.example.com/api/v2/chat/completions", "/v1/chat/completions", "long"},
		{"shorter base URL", "https://LLM.example.com/api/v3/x", "/v1/v3/x", "short"},
		{"known provider", openAIChat, "/v1/chat/completions", "@mine"},
		{"no provider", "http://nobody.example.com/x", "/v1/x", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			do(t, c, newRequest(t, t.Context(), "GET", tt.url, ""))
			got := s.last(t)
			if got.uri != tt.wantURI {
				t.Errorf("got request URI %s, want %s", got.uri, tt.wantURI)
			}
			if provider := got.header.Get("X-Portkey-Provider"); provider != tt.wantProvider {
				t.Errorf("got provider %q, want %q", provider, tt.wantProvider)
			}
		})
	}
}

func TestProviderIsTakenFromURLOnlyIfNothingElseSelectsOne(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{})
	tests := []struct {
		name         string
		headers      portkey.Headers
		reqHeader    http.Header
		wantProvider string
	}{
		{name: "provider", headers: portkey.Headers{Provider: "groq"}, wantProvider: "groq"},
		{name: "virtual key", headers: portkey.Headers{VirtualKey: "vk"}},
		{name: "config slug", headers: portkey.Headers{Config: portkey.ConfigSlug("pc-1")}},
		{name: "config with targets", headers: portkey.Headers{Config: portkey.ConfigJSON(`{"targets":[]}`)}},
		{name: "config slug on the request", reqHeader: http.Header{"x-portkey-config": {"pc-2"}}},
		// The gateway answers 400 if neither the config nor the header names a provider.
		{name: "config without a provider",
			headers: portkey.Headers{Config: portkey.ConfigJSON(`{"retry":{"attempts":1}}`)}, wantProvider: "openai"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			req := newRequest(t, portkey.WithHeaders(t.Context(), tt.headers), "GET", openAIChat, "")
			maps.Copy(req.Header, tt.reqHeader)
			do(t, c, req)
			if got := s.last(t).header.Get("X-Portkey-Provider"); got != tt.wantProvider {
				t.Errorf("got provider %q, want %q", got, tt.wantProvider)
			}
		})
	}
}

func TestRequestToUnknownHostOrPathIsRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"https://llm.example.com/v1/chat?key=SECRET",
		"https://api.openai.com.evil.example/v1/x",
		"https://evilapi.openai.com/v1/x",
		"https://api.openai.com:8443/v1/x",
		"http://api.openai.com/v1/x",
		"https://user:SECRET@api.openai.com/v1/x",
		"https://API.openai.com./v1/x",
		"https://api.openai.com/v2/x",
		"https://api.openai.com/v1beta/x",
		"https://api.openai.com/oauth/token",
		"https://gw.example:8787/v1/x",
		"http://gw.example/v1/x",
		"http://sub.gw.example:8787/v1/x",
		"gw.example/v1/x",
		"http:gw.example:8787",
		"https://xn--api-openai-com.example/v1",
	} {
		t.Run(url, func(t *testing.T) {
			tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example:8787/v1"})
			body := newCountingBody()
			req := newRequest(t, t.Context(), "POST", url, "")
			req.Body = body
			resp, err := tr.RoundTrip(req)
			if resp != nil || !errors.As(err, new(*portkey.RouteError)) {
				t.Fatalf("got %v, %v, want a RouteError", resp, err)
			}
			for _, want := range []string{req.URL.Host, "http://gw.example:8787/v1"} {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("got %q, want an error that names %s", err, want)
				}
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("got %q, want an error without the secret", err)
			}
			if got := body.closed.Load(); got != 1 {
				t.Errorf("got body closed %d times, want 1", got)
			}
		})
	}
}

func TestGatewayOriginIsComparedIgnoringCaseAndDefaultPort(t *testing.T) {
	t.Parallel()
	const httpGateway, httpsGateway = "http://gw.example/v1", "https://gw.example/v1"
	tests := []struct {
		name, gateway, url, host string
		wantSent                 bool
	}{
		{"same", httpsGateway, "https://gw.example/v1/x", "", true},
		{"upper-case host", httpsGateway, "https://GW.example/x", "", true},
		{"upper-case scheme", httpsGateway, "HTTPS://gw.example", "", true},
		{"port 443 of https", httpsGateway, "https://gw.example:443/v1/x", "", true},
		{"port 80 of http", httpGateway, "http://gw.example:80/x", "", true},
		{"port 80 in BaseURL", "http://gw.example:80/v1", "http://gw.example/x", "", true},
		{"port 443 of http", httpGateway, "http://gw.example:443/x", "", false},
		{"port 80 of https", httpsGateway, "https://gw.example:80/x", "", false},
		{"same Host header", httpsGateway, "https://gw.example/x", "GW.example:443", true},
		{"another port in the Host header", httpsGateway, "https://gw.example/x", "gw.example:8443", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			// url.Parse converts the scheme to lower case; a URL built by hand may have another spelling.
			for _, spelling := range []func(string) string{strings.ToLower, strings.ToUpper} {
				req := newRequest(t, t.Context(), "GET", tt.url, "")
				req.URL.Scheme = spelling(req.URL.Scheme)
				if tt.host != "" {
					req.Host = tt.host
				}
				base := new(recorder)
				_, err := newTransport(t, base, portkey.Options{BaseURL: tt.gateway}).RoundTrip(req)
				if sent := len(base.all()) == 1; sent != tt.wantSent || (err == nil) != tt.wantSent {
					t.Errorf("%v: got sent %t, error %v, want sent %t", req.URL, sent, err, tt.wantSent)
				}
			}
		})
	}
}

func TestHostHeaderThatDiffersFromURLIsRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://gw.example/v1/x", openAIChat} {
		t.Run(url, func(t *testing.T) {
			tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example/v1"})
			req := newRequest(t, t.Context(), "GET", url, "")
			req.Host = "evil.example"
			if _, err := tr.RoundTrip(req); !errors.As(err, new(*portkey.RouteError)) {
				t.Errorf("got %v, want a RouteError", err)
			}
		})
	}
}

// net/http sends Opaque instead of Host and Path. It sends RawPath instead of Path
// only if RawPath is an encoding of Path.
func TestURLWithOpaqueOrDifferentRawPathIsRefused(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name string
		url  url.URL
	}{
		{"Opaque at the gateway", url.URL{Scheme: "http", Host: "gw.example", Opaque: "//evil.example/x"}},
		{"Opaque at a provider",
			url.URL{Scheme: "https", Host: "api.openai.com", Path: "/v1/x", Opaque: "//evil.example/v1/x"}},
		{"RawPath of another path",
			url.URL{Scheme: "https", Host: "api.openai.com", Path: "/oauth/token", RawPath: "/v1/x"}},
		{"RawPath with an escaped prefix",
			url.URL{Scheme: "https", Host: "api.openai.com", Path: "/v1/x", RawPath: "/%761/x"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example/v1"})
			req := newRequest(t, t.Context(), "GET", "http://gw.example", "")
			req.URL, req.Host = &tt.url, ""
			if _, err := tr.RoundTrip(req); !errors.As(err, new(*portkey.RouteError)) {
				t.Errorf("got %v, want a RouteError", err)
			}
		})
	}
}

func TestRouteErrorOmitsSecretsOfURL(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example/v1"})
	req := newRequest(t, t.Context(), "GET", "https://u:SECRET@llm.example.com/a%2Fb/c?k=SECRET#SECRET", "")
	_, err := tr.RoundTrip(req)
	var routeErr *portkey.RouteError
	if !errors.As(err, &routeErr) {
		t.Fatalf("got %v, want a RouteError", err)
	}
	want := portkey.RouteError{URL: "https://llm.example.com/a%2Fb/c", Gateway: "http://gw.example/v1", Reason: routeErr.Reason}
	if *routeErr != want || strings.Contains(routeErr.Reason, "SECRET") {
		t.Errorf("got %+v, want %+v", *routeErr, want)
	}
}

func TestRouteErrorNamesTheReason(t *testing.T) {
	t.Parallel()
	fromGateway := &http.Response{Request: newRequest(t, t.Context(), "GET", "http://gw.example/v1/x", "")}
	for _, tt := range []struct {
		name, url, host string
		response        *http.Response // the redirect that led to the request
		want            string
	}{
		{"unknown host", "https://llm.example.com/v1", "", nil, "its host is neither the gateway's nor a known provider's"},
		{"Host header", openAIChat, "proxy.example.com", nil, "its Host header is not the host of its URL"},
		{"login path", "https://api.openai.com/oauth/token", "", nil, "its path is a login"},
		{"other path", "https://api.openai.com/v2/models", "", nil, "its host is a provider's, but it is not below a base URL"},
		{"scheme", "http://api.openai.com/v1/models", "", nil, "its host is a provider's, but it is not below a base URL"},
		{"redirect with a body", "https://evil.example/x", "", fromGateway, "it would carry the request body away"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example"})
			req := newRequest(t, t.Context(), "POST", tt.url, "{}")
			req.Response = tt.response
			if tt.host != "" {
				req.Host = tt.host
			}
			_, err := tr.RoundTrip(req)
			var routeErr *portkey.RouteError
			if !errors.As(err, &routeErr) {
				t.Fatalf("got %v, want a RouteError", err)
			}
			if !strings.HasPrefix(routeErr.Reason, tt.want) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want the reason %q", err, tt.want)
			}
			if routeErr.Redirect != (tt.response != nil) || routeErr.Redirect != strings.Contains(err.Error(), "redirect") {
				t.Errorf("got %+v, want Redirect: %t", routeErr, tt.response != nil)
			}
		})
	}
}

func TestFilteredRequestIsPassedThroughUnchanged(t *testing.T) {
	t.Parallel()
	elsewhere := newServer(t, nil)
	base := &recorder{respond: loopback.RoundTrip}
	c := &http.Client{Transport: newTransport(t, base, portkey.Options{
		BaseURL: "http://gw.example/v1",
		Headers: portkey.Headers{APIKey: "pk"},
		Filter:  func(r *http.Request) bool { return r.URL.Host == "api.openai.com" },
	})}
	ctx := portkey.WithHeaders(portkey.WithTrace(t.Context(), "t1"), portkey.Headers{Debug: portkey.Ptr(false)})

	t.Run("same request", func(t *testing.T) {
		req := newRequest(t, ctx, "POST", elsewhere.URL+"/x", "{}")
		req.Header.Set("Authorization", "Bearer sk")
		resp, err := c.Transport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if base.last(t) != req {
			t.Error("the base received a copy, want the caller's request")
		}
	})
	t.Run("without x-portkey headers", func(t *testing.T) {
		req := newRequest(t, ctx, "POST", elsewhere.URL+"/x", "{}")
		req.Header.Set("Authorization", "Bearer sk")
		req.Header["x-PORTKEY-api-key"] = []string{"pk"}
		before := req.Header.Clone()
		do(t, c, req)
		if !reflect.DeepEqual(req.Header, before) {
			t.Errorf("got the caller's header changed to %v, want %v", req.Header, before)
		}
		got := elsewhere.last(t)
		if h := got.portkeyHeaders(); len(h) > 0 {
			t.Errorf("got %v sent to another host, want no x-portkey headers", h)
		}
		if got.header.Get("Authorization") != "Bearer sk" || got.body != "{}" {
			t.Errorf("got %v, want the credential and the body", got)
		}
	})
}

func TestFilteredRequestKeepsPortkeyHeadersOnlyAtTheGateway(t *testing.T) {
	t.Parallel()
	all := http.Header{"x-portkey-API-key": {"own"}, "X-Api-Key": {"sk"}}
	withoutKey := http.Header{"X-Api-Key": {"sk"}}
	// A filtered request does not use the context's headers, so invalid ones do not fail it.
	const valid, invalid = "t1", "a\nb"
	tests := []struct {
		name, url, host, trace string
		want                   http.Header
	}{
		{"gateway", "http://gw.example/v1/x", "", valid, all},
		{"another Host header", "http://gw.example/v1/x", "evil.example", valid, withoutKey},
		{"another host", "http://elsewhere.example/x", "", valid, withoutKey},
		{"gateway, invalid context", "http://gw.example/v1/x", "", invalid, all},
		{"another Host header, invalid context", "http://gw.example/v1/x", "evil.example", invalid, withoutKey},
		{"another host, invalid context", "http://elsewhere.example/x", "", invalid, withoutKey},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base := new(recorder)
			tr := newTransport(t, base, portkey.Options{
				BaseURL: "http://gw.example/v1", Headers: portkey.Headers{APIKey: "pk"},
				Filter: func(*http.Request) bool { return false },
			})
			req := newRequest(t, portkey.WithTrace(t.Context(), tt.trace), "GET", tt.url, "")
			if tt.host != "" {
				req.Host = tt.host
			}
			req.Header = all.Clone()
			if _, err := tr.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			if got := base.last(t).Header; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got headers %v, want %v", got, tt.want)
			}
			if !reflect.DeepEqual(req.Header, all) {
				t.Errorf("got the caller's header changed to %v, want %v", req.Header, all)
			}
		})
	}
}

func TestWrapClientKeepsTimeoutJarAndRedirectPolicy(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	jar := &countingJar{}
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	c := &http.Client{Timeout: time.Minute, Jar: jar, Transport: base,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	before := *c
	wrapped, err := portkey.WrapClient(c, portkey.Options{BaseURL: s.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	if c.Transport != before.Transport || c.Timeout != before.Timeout || c.Jar != before.Jar {
		t.Errorf("got the argument changed to %+v, want %+v", c, before)
	}
	if wrapped.Timeout != c.Timeout || wrapped.Jar != c.Jar || wrapped.CheckRedirect == nil {
		t.Errorf("got %+v, want timeout, jar and redirect policy of %+v", wrapped, c)
	}
	do(t, wrapped, newRequest(t, t.Context(), "GET", openAIChat, ""))
	if jar.calls == 0 {
		t.Error("got no call of the cookie jar, want one")
	}
}

// http.Client looks cookies up by the URL that the client asked for, and never sees the gateway's. See SECURITY.md.
func TestCookiesOfTheGatewayAreStoredForTheProvidersHost(t *testing.T) {
	t.Parallel()
	s := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "gateway", Value: "1", Path: "/"})
	})
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	c, err := portkey.WrapClient(&http.Client{Jar: jar}, portkey.Options{BaseURL: s.URL + "/v1"})
	if err != nil {
		t.Fatal(err)
	}
	asked, err := url.Parse(openAIChat)
	if err != nil {
		t.Fatal(err)
	}
	jar.SetCookies(asked, []*http.Cookie{{Name: "provider", Value: "1", Path: "/"}})

	for range 2 {
		do(t, c, newRequest(t, t.Context(), "GET", openAIChat, ""))
	}
	var got []string
	for _, r := range s.all() {
		got = append(got, r.header.Get("Cookie"))
	}
	if want := []string{"provider=1", "provider=1; gateway=1"}; !slices.Equal(got, want) {
		t.Errorf("got cookies %q at the gateway, want %q", got, want)
	}
	gateway, err := url.Parse(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	if got := jar.Cookies(gateway); len(got) != 0 {
		t.Errorf("got cookies %v of the gateway's host, want none", got)
	}
}

type countingJar struct{ calls int }

func (j *countingJar) SetCookies(*url.URL, []*http.Cookie) {}
func (j *countingJar) Cookies(*url.URL) []*http.Cookie     { j.calls++; return nil }

func TestEnvironmentIsUsedIfOptionsAreEmpty(t *testing.T) {
	s := newServer(t, nil)
	t.Setenv("PORTKEY_API_KEY", "pk-env")
	t.Setenv("PORTKEY_BASE_URL", s.URL+"/env/v1")
	tests := []struct {
		name             string
		opts             portkey.Options
		wantURI, wantKey string
	}{
		{"empty Options", portkey.Options{}, "/env/v1/chat/completions", "pk-env"},
		{"set Options", portkey.Options{BaseURL: s.URL + "/v1", Headers: portkey.Headers{APIKey: "pk-opt"}},
			"/v1/chat/completions", "pk-opt"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c, err := portkey.WrapClient(nil, tt.opts)
			if err != nil {
				t.Fatal(err)
			}
			do(t, c, newRequest(t, t.Context(), "GET", openAIChat, ""))
			got := s.last(t)
			if key := got.header.Get("X-Portkey-Api-Key"); got.uri != tt.wantURI || key != tt.wantKey {
				t.Errorf("got %s with key %q, want %s with key %q", got.uri, key, tt.wantURI, tt.wantKey)
			}
		})
	}
	t.Run("invalid base URL", func(t *testing.T) {
		t.Setenv("PORTKEY_BASE_URL", "http://user:SECRET@gw.example")
		_, err := portkey.NewTransport(nil, portkey.Options{})
		if err == nil || !strings.Contains(err.Error(), "PORTKEY_BASE_URL") || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("got %v, want an error that names PORTKEY_BASE_URL without its value", err)
		}
	})
}

func TestHostedGatewayNeedsAPIKey(t *testing.T) {
	t.Parallel()
	extra := map[string]string{"x-portkey-api-key": "pk"}
	tests := []struct {
		name    string
		opts    portkey.Options
		wantErr bool
	}{
		{"no base URL", portkey.Options{}, true},
		{"DefaultBaseURL", portkey.Options{BaseURL: portkey.DefaultBaseURL}, true},
		{"another spelling of its origin", portkey.Options{BaseURL: "https://API.portkey.ai:443"}, true},
		{"key in APIKey", portkey.Options{Headers: portkey.Headers{APIKey: "pk"}}, false},
		{"key in Extra", portkey.Options{Headers: portkey.Headers{Extra: extra}}, false},
		{"self-hosted gateway", portkey.Options{BaseURL: "http://127.0.0.1:8787/v1"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := portkey.NewTransport(nil, tt.opts)
			if !tt.wantErr && err != nil {
				t.Errorf("got %v, want no error", err)
			}
			if tt.wantErr && (err == nil || !strings.Contains(err.Error(), "PORTKEY_API_KEY")) {
				t.Errorf("got %v, want an error that names PORTKEY_API_KEY", err)
			}
		})
	}
}

func TestInvalidBaseURLIsRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"gw.SECRET/v1", "SECRET:8787", "//gw.SECRET", "http://", "http://:80", "file:///SECRET", "ftp://SECRET",
		"http://u:SECRET@gw.example", "http://SECRET@gw.example", "http://gw.example/?k=SECRET", "http://gw.example?",
		"http://gw.example#SECRET", "http://gw.example/#", "http://SECRET\n", " http://SECRET", "http:SECRET",
		"http://SECRET:0", "http://SECRET:65536",
		"http://gw.example/a%2FSECRET", "http://gw.example/a%20SECRET", "http://gw.example/SECRETé",
		"http://gw.example/SECRET x",
	} {
		for option, opts := range map[string]portkey.Options{
			"BaseURL":              {BaseURL: url},
			"Upstreams[0].BaseURL": {BaseURL: "http://gw.example", Upstreams: []portkey.Upstream{{BaseURL: url}}},
		} {
			t.Run(option+"="+url, func(t *testing.T) {
				tr, err := portkey.NewTransport(nil, opts)
				if tr != nil || err == nil || !strings.HasPrefix(err.Error(), "portkey: "+option+" ") {
					t.Fatalf("got %v, %v, want an error that names %s", tr, err, option)
				}
				if strings.Contains(err.Error(), "SECRET") {
					t.Errorf("got %q, want an error without the value", err)
				}
			})
		}
	}
}

func TestInvalidUpstreamProviderIsRefused(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, provider string }{
		{"line break", "SECRET\n"}, {"not ASCII", "SECRETé"}, {"leading space", " SECRET"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			upstreams := []portkey.Upstream{
				{BaseURL: "https://a.example", Provider: "openai"},
				{BaseURL: "https://b.example", Provider: tt.provider},
			}
			_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Upstreams: upstreams})
			if err == nil || !strings.HasPrefix(err.Error(), "portkey: Upstreams[1].Provider") {
				t.Fatalf("got %v, want an error that names Upstreams[1].Provider", err)
			}
			if strings.Contains(err.Error(), "SECRET") {
				t.Errorf("got %q, want an error without the value", err)
			}
		})
	}
}

func TestTraceIDPrecedence(t *testing.T) {
	t.Parallel()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	fromOptions := portkey.Options{Headers: portkey.Headers{TraceID: "options"}}
	fromNewTraceID := portkey.Options{NewTraceID: func(context.Context) string { return "generated" }}
	withTrace := func(ctx context.Context) context.Context { return portkey.WithTrace(ctx, "context") }
	tests := []struct {
		name                string
		opts                portkey.Options
		ctx                 func(context.Context) context.Context
		header              http.Header
		wantTrace, wantSpan string
	}{
		{name: "NewTraceID", opts: fromNewTraceID, wantTrace: "generated"},
		{name: "empty NewTraceID", opts: portkey.Options{NewTraceID: noTrace}},
		{name: "Options over NewTraceID",
			opts:      portkey.Options{NewTraceID: fromNewTraceID.NewTraceID, Headers: fromOptions.Headers},
			wantTrace: "options"},
		{name: "context over Options", opts: fromOptions, ctx: withTrace, wantTrace: "context"},
		{name: "request over context", ctx: withTrace,
			header: http.Header{"x-portkey-trace-id": {"request"}}, wantTrace: "request"},
		{name: "traceparent over NewTraceID", opts: fromNewTraceID, header: http.Header{"Traceparent": {parent}},
			wantTrace: "0af7651916cd43dd8448eb211c80319c", wantSpan: "b7ad6b7169203331"},
		{name: "context over traceparent", ctx: withTrace, header: http.Header{"Traceparent": {parent}},
			wantTrace: "context"},
		{name: "parent span of Options over traceparent",
			opts:      portkey.Options{Headers: portkey.Headers{ParentSpanID: "p"}},
			header:    http.Header{"traceparent": {parent}},
			wantTrace: "0af7651916cd43dd8448eb211c80319c", wantSpan: "p"},
		{name: "traceparent of a later version",
			header:    http.Header{"Traceparent": {"cc" + parent[2:] + "-what-comes"}},
			wantTrace: "0af7651916cd43dd8448eb211c80319c", wantSpan: "b7ad6b7169203331"},
	}
	s := newServer(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ctx := t.Context()
			if tt.ctx != nil {
				ctx = tt.ctx(ctx)
			}
			req := newRequest(t, ctx, "GET", openAIChat, "")
			maps.Copy(req.Header, tt.header)
			do(t, newClient(t, s, tt.opts), req)
			h := s.last(t).header
			var want []string
			if tt.wantTrace != "" {
				want = []string{tt.wantTrace}
			}
			if got := h.Values("X-Portkey-Trace-Id"); !slices.Equal(got, want) {
				t.Errorf("got trace %q, want %q", got, want)
			}
			if got := h.Get("X-Portkey-Parent-Span-Id"); got != tt.wantSpan {
				t.Errorf("got parent span %q, want %q", got, tt.wantSpan)
			}
		})
	}
}

func TestTraceIDIsARandomUUIDByDefault(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{})
	ids := map[string]bool{}
	for range 3 {
		do(t, c, newRequest(t, t.Context(), "GET", openAIChat, ""))
		id := s.last(t).header.Get("X-Portkey-Trace-Id")
		if len(id) != 36 || id[14] != '4' {
			t.Errorf("got %q, want a random UUID", id)
		}
		ids[id] = true
	}
	if len(ids) != 3 {
		t.Errorf("got %d different IDs, want 3", len(ids))
	}
}

func TestInvalidTraceIDFromNewTraceIDFailsTheCall(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, id string }{
		{"line break", secret + "\n"}, {"not ASCII", secret + "é"}, {"leading space", " " + secret},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTransport(t, notCalled(t), portkey.Options{
				BaseURL: "http://gw.example", NewTraceID: func(context.Context) string { return tt.id },
			})
			_, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", openAIChat, ""))
			checkHeaderError(t, err, "x-portkey-trace-id")
		})
	}
}

func TestInvalidTraceparentIsIgnored(t *testing.T) {
	t.Parallel()
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	const valid = "00-" + trace + "-" + span + "-01"
	tests := []struct {
		name        string
		traceparent []string
	}{
		{"empty", []string{""}},
		{"two lines", []string{valid, valid}},
		{"upper case", []string{strings.ToUpper(valid)}},
		{"fifth field in version 00", []string{valid + "-x"}},
		{"short version", []string{"0-" + trace + "-" + span + "-01"}},
		{"version not hexadecimal", []string{"0g-" + trace + "-" + span + "-01"}},
		{"version ff", []string{"ff-" + trace + "-" + span + "-01"}},
		{"short trace ID", []string{"00-" + trace[1:] + "-" + span + "-01"}},
		{"trace ID not hexadecimal", []string{"00-g" + trace[1:] + "-" + span + "-01"}},
		{"trace ID of zeros", []string{"00-00000000000000000000000000000000-" + span + "-01"}},
		{"short parent ID", []string{"00-" + trace + "-" + span[1:] + "-01"}},
		{"parent ID not hexadecimal", []string{"00-" + trace + "-g" + span[1:] + "-01"}},
		{"parent ID of zeros", []string{"00-" + trace + "-0000000000000000-01"}},
		{"no flags", []string{"00-" + trace + "-" + span}},
		{"short flags", []string{"00-" + trace + "-" + span + "-1"}},
		{"flags not hexadecimal", []string{"00-" + trace + "-" + span + "-0g"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base := new(recorder)
			tr := newTransport(t, base, portkey.Options{
				BaseURL: "http://gw.example", NewTraceID: func(context.Context) string { return "generated" },
			})
			req := newRequest(t, t.Context(), "GET", "http://gw.example", "")
			req.Header["Traceparent"] = tt.traceparent
			tr.RoundTrip(req)
			want := http.Header{"Traceparent": tt.traceparent, "X-Portkey-Trace-Id": {"generated"}}
			if got := base.last(t).Header; !reflect.DeepEqual(got, want) {
				t.Errorf("got headers %v, want %v", got, want)
			}
		})
	}
}

func TestBaseURLWithoutAPathMeansV1(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	for _, path := range []string{"", "/"} {
		t.Run("path "+path, func(t *testing.T) {
			do(t, newClient(t, s, portkey.Options{BaseURL: s.URL + path}), newRequest(t, t.Context(), "GET", openAIChat, ""))
			if got := s.last(t).uri; got != "/v1/chat/completions" {
				t.Errorf("got %s, want /v1/chat/completions", got)
			}
		})
	}
}

func TestMissingAPIKeyIsErrNoAPIKey(t *testing.T) {
	t.Parallel()
	for name, opts := range map[string]portkey.Options{
		"default base URL": {}, "its origin": {BaseURL: "https://API.portkey.ai:443/other"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := portkey.NewTransport(nil, opts); !errors.Is(err, portkey.ErrNoAPIKey) {
				t.Errorf("got %v, want ErrNoAPIKey", err)
			}
		})
	}
}

func TestBaseThatIsATransportForAnotherGatewayIsRefused(t *testing.T) {
	t.Parallel()
	inner := newTransport(t, nil, portkey.Options{BaseURL: "http://one.example/v1"})
	for name, base := range map[string]http.RoundTripper{"Transport": inner, "retries": portkey.NewRetryTransport(inner)} {
		t.Run(name, func(t *testing.T) {
			_, err := portkey.NewTransport(base, portkey.Options{BaseURL: "http://two.example/v1"})
			if err == nil || !strings.Contains(err.Error(), "another gateway") {
				t.Errorf("got %v, want an error about the other gateway", err)
			}
			if _, err := portkey.NewTransport(base, portkey.Options{BaseURL: "http://ONE.example:80/other"}); err != nil {
				t.Errorf("same gateway: %v", err)
			}
		})
	}
}

func TestIgnoredRequestHeadersHaveNoEffect(t *testing.T) {
	t.Parallel()
	outside := http.Header{
		"X-Portkey-Api-Key": {"pk-outside"}, "x-portkey-custom-host": {"https://evil.example"}, "X-PORTKEY-config": {"pc-outside"},
		"X-Portkey-Metadata": {`{"team":"outside"}`}, "X-Portkey-Trace-Id": {"a", "b"}, "X_Portkey_Virtual_Key": {"vk-outside"},
		"Authorization": {"Bearer outside"}, "X-Tenant": {"kept"}, "baggage": {"plan=paid"}, "X-Server": {"outside"}, "x-vertex-ai-llm-request-type": {"outside"},
		"Traceparent": {"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"},
	}
	tests := []struct {
		name   string
		opts   portkey.Headers
		want   http.Header
		client string
	}{
		{"Options and context", portkey.Headers{APIKey: "pk", Metadata: portkey.Metadata{"team": "a"}, Extra: map[string]string{"X-Server": "ours"}},
			http.Header{"X-Portkey-Api-Key": {"pk"}, "X-Portkey-Metadata": {`{"team":"a"}`}, "X-Portkey-Span-Name": {"s"}, "X-Portkey-Provider": {"openai"}}, "Bearer outside"},
		{"credential in Options", portkey.Headers{Authorization: "Bearer server"},
			http.Header{"X-Portkey-Span-Name": {"s"}, "X-Portkey-Provider": {"openai"}}, "Bearer server"},
	}
	s := newServer(t, nil)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			c := newClient(t, s, portkey.Options{Headers: tt.opts, IgnoreRequestHeaders: true, NewTraceID: noTrace})
			req := newRequest(t, portkey.WithHeaders(t.Context(), portkey.Headers{SpanName: "s"}), "GET", openAIChat, "")
			maps.Copy(req.Header, outside)
			do(t, c, req)
			got := s.last(t)
			if h := got.portkeyHeaders(); !reflect.DeepEqual(h, tt.want) {
				t.Errorf("got %v, want %v", h, tt.want)
			}
			for _, key := range []string{"X_portkey_virtual_key", "Baggage", "Traceparent", "X-Vertex-Ai-Llm-Request-Type"} {
				if _, ok := got.header[key]; ok {
					t.Errorf("got %s, want none", key)
				}
			}
			if want := tt.opts.Extra["X-Server"]; want != "" && got.header.Get("X-Server") != want {
				t.Errorf("got X-Server %q, want %q", got.header.Get("X-Server"), want)
			}
			if got.header.Get("Authorization") != tt.client || got.header.Get("X-Tenant") != "kept" {
				t.Errorf("got %v, want Authorization %s and X-Tenant", got.header, tt.client)
			}
		})
	}
}

func TestUnknownHostsArePassedOnOnlyIfAllowed(t *testing.T) {
	t.Parallel()
	opts := portkey.Options{
		BaseURL: "http://gw.example/v1", PassUnknownHosts: true, Headers: portkey.Headers{APIKey: "pk"},
		Upstreams: []portkey.Upstream{
			{BaseURL: "https://llm.example.com/v1", Provider: "@llm"}, {BaseURL: "https://dot.example./v1", Provider: "@dot"},
			{BaseURL: "http://[::1]:8000/v1", Provider: "@six"}, {BaseURL: "https://corp.example/oauth2/llm/v1", Provider: "@login"},
			{BaseURL: "http://127.0.0.1:99/v1", Provider: "@local"},
		},
	}
	tests := []struct {
		name, url, host string
		want            string // the URL that is called; "": refused
	}{
		{name: "unknown host", url: "https://other.example/x?y", want: "https://other.example/x?y"},
		{name: "other path of a provider's host", url: "https://api.cloudflare.com/client/v4/zones", want: "https://api.cloudflare.com/client/v4/zones"},
		{name: "login", url: "https://api.openai.com/v1/oauth/token", want: "https://api.openai.com/v1/oauth/token"},
		{name: "provider", url: openAIChat, want: "http://gw.example/v1/chat/completions"},
		{name: "gateway", url: "http://gw.example/v1/models", want: "http://gw.example/v1/models"},
		{name: "provider by another scheme", url: "http://api.openai.com/v1/models"},
		{name: "provider by another port", url: "https://api.openai.com:8443/v1/models"},
		{name: "provider with credentials in the URL", url: "https://user@api.openai.com/v1/models"},
		{name: "provider with another Host header", url: openAIChat, host: "other.example"},
		{name: "endpoint that the gateway cannot call", url: "https://api.fireworks.ai/inference/v1/models"},
		{name: "upstream by another scheme", url: "http://llm.example.com/v1/models"},
		{name: "upstream without its final dot", url: "https://dot.example/v1/models"},
		{name: "upstream with its final dot", url: "http://dot.example./v1/models"},
		{name: "upstream by another spelling of its address", url: "http://[0:0:0:0:0:0:0:1]:8000/v1/models"},
		{name: "another service on the upstream's host", url: "http://[::1]:9000/v1/metrics", want: "http://[::1]:9000/v1/metrics"},
		{name: "upstream by a short form of its address", url: "http://127.1:99/v1/models"},
		{name: "upstream by another spelling of its port", url: "http://127.0.0.1:0099/v1/models"},
		{name: "upstream with a zone", url: "http://[::1%25lo]:8000/v1/models"},
		{name: "gateway by another spelling of its port", url: "http://gw.example:080/v1/models"},
		{name: "gateway by another scheme", url: "https://gw.example/v1/models"},
		{name: "gateway with a final dot", url: "http://gw.example.:80/v1/models"},
		{name: "gateway in the Host header", url: "http://127.0.0.1/v1/models", host: "gw.example"},
		{name: "another service on the gateway's host", url: "http://gw.example:9000/x", want: "http://gw.example:9000/x"},
		{name: "path parameters", url: "https://api.openai.com/v1;a/models"},
		{name: "upstream below a login path", url: "http://corp.example/OAuth2/llm/v1/models"},
		{name: "provider with a final dot", url: "https://api.openai.com./v1/chat/completions"},
		{name: "provider in full-width characters", url: "https://\uff41pi.openai.com/v1/chat/completions"},
		{name: "escaped path", url: "https://api.openai.com/%761/chat/completions"},
		{name: "escaped slash", url: "https://api.openai.com/v1%2Fchat/completions"},
		{name: "two slashes", url: "https://api.openai.com//v1/chat/completions"},
		{name: "dot segments", url: "https://api.openai.com/x/../v1/chat/completions"},
		{name: "dot segments behind a login path", url: "https://api.openai.com/v1/oauth/../chat/completions"},
		{name: "path in upper case", url: "https://res.openai.azure.com/OpenAI/deployments/d/chat/completions"},
		{name: "provider in the Host header", url: "https://127.0.0.1/v1/chat/completions", host: "api.openai.com"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base := new(recorder)
			req := newRequest(t, t.Context(), "POST", tt.url, "{}")
			if tt.host != "" {
				req.Host = tt.host
			}
			req.Header = http.Header{"Authorization": {"Bearer own"}, "x-portkey-api-key": {"own"}}
			_, err := newTransport(t, base, opts).RoundTrip(req)
			if tt.want == "" {
				if !errors.As(err, new(*portkey.RouteError)) || len(base.all()) > 0 {
					t.Errorf("got %v and %d requests, want a RouteError", err, len(base.all()))
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got := base.last(t)
			if got.URL.String() != tt.want {
				t.Errorf("got %v, want %s", got.URL, tt.want)
			}
			isGateway := got.URL.Host == "gw.example"
			for key := range got.Header {
				if !isGateway && strings.HasPrefix(strings.ToLower(key), "x-portkey-") {
					t.Errorf("got %s at %v", key, got.URL)
				}
			}
			if got.Header.Get("Authorization") != "Bearer own" {
				t.Errorf("got %v, want the client's Authorization", got.Header)
			}
		})
	}
}

func TestDotSegmentsAreRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"https://api.openai.com/v1/../../wiki", "https://api.openai.com/v1/%2e%2e/wiki", "https://api.openai.com/v1/./models",
		"https://res.openai.azure.com/openai/deployments/../chat/completions",
	} {
		t.Run(url, func(t *testing.T) {
			tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example/portkey/v1"})
			if _, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", url, "")); !errors.As(err, new(*portkey.RouteError)) {
				t.Errorf("got %v, want a RouteError", err)
			}
		})
	}
}

// Before, these took 7.5 s and 2.7 s.
func TestHugeRequestsAreHandledInTime(t *testing.T) {
	t.Parallel()
	many := make(http.Header)
	for i := range 45000 {
		many[fmt.Sprintf("X-Portkey-%d", i)] = []string{"x"}
	}
	manyNames := newRequest(t, t.Context(), "GET", openAIChat, "")
	manyNames.Header.Set("Connection", strings.Repeat("a,", 500000))
	for name, req := range map[string]*http.Request{
		"names in Connection": manyNames,
		"path of slashes":     newRequest(t, t.Context(), "GET", "https://api.openai.com/v1"+strings.Repeat("/", 900000), ""),
		"many headers":        newRequest(t, t.Context(), "GET", openAIChat, ""),
	} {
		t.Run(name, func(t *testing.T) {
			if name == "many headers" {
				req.Header = many
			}
			tr := newTransport(t, new(recorder), portkey.Options{BaseURL: "http://gw.example", Upstreams: []portkey.Upstream{
				{BaseURL: "https://llm.example.com/v1", Provider: "@llm"}, {BaseURL: "https://api.openai.com/v2", Provider: "@o"},
			}})
			start := time.Now()
			_, err := tr.RoundTrip(req)
			if took := time.Since(start); took > time.Second {
				t.Errorf("took %v (error %v), want at most 1s", took, err)
			}
		})
	}
}

func TestManyUpstreamsCostNoTime(t *testing.T) {
	t.Parallel()
	opts := portkey.Options{BaseURL: "http://gw.example", PassUnknownHosts: true}
	for i := range 50000 {
		opts.Upstreams = append(opts.Upstreams, portkey.Upstream{BaseURL: fmt.Sprintf("https://llm-%d.example/v1", i), Provider: "@llm"})
	}
	tr := newTransport(t, new(recorder), opts)
	start := time.Now()
	for range 1000 { // with a search through all Upstreams: 8 s
		if _, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", "https://other.example/x", "")); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > time.Second {
		t.Errorf("took %v, want at most 1s", took)
	}
}

func TestHugeExtraIsAnErrorInTime(t *testing.T) {
	t.Parallel()
	extra := make(map[string]string)
	for i := range 40000 { // took 4.5 s
		extra[fmt.Sprintf("X-Header-%d", i)] = "x"
	}
	start := time.Now()
	_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Headers: portkey.Headers{Extra: extra}})
	if took := time.Since(start); !errors.As(err, new(*portkey.HeaderError)) || took > time.Second {
		t.Errorf("got %v after %v, want a HeaderError within 1s", err, took)
	}
}

func TestPortkeyTrailerIsRefused(t *testing.T) {
	t.Parallel()
	opts := portkey.Options{BaseURL: "http://gw.example", PassUnknownHosts: true}
	for name, url := range map[string]string{"provider": openAIChat, "gateway": "http://gw.example/v1/x", "unknown host": "https://other.example"} {
		t.Run(name, func(t *testing.T) {
			req := newRequest(t, t.Context(), "POST", url, "{}")
			req.Trailer = http.Header{"x_portkey-api-key": nil}
			var headerError *portkey.HeaderError
			if _, err := newTransport(t, notCalled(t), opts).RoundTrip(req); !errors.As(err, &headerError) {
				t.Errorf("got %v, want a HeaderError", err)
			}
		})
	}
}

func TestOutsiderSendsNoTrailer(t *testing.T) {
	t.Parallel()
	for name, url := range map[string]string{"provider": openAIChat, "unknown host": "https://other.example/x"} {
		t.Run(name, func(t *testing.T) {
			base := new(recorder)
			req := newRequest(t, t.Context(), "POST", url, "{}")
			req.Trailer = http.Header{"X-Portkey-Api-Key": nil, "Authorization": nil, "X-Other": nil}
			tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example", IgnoreRequestHeaders: true, PassUnknownHosts: true})
			if _, err := tr.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			if got := base.last(t).Trailer; got != nil {
				t.Errorf("got trailers %v, want none", got)
			}
			if len(req.Trailer) != 3 {
				t.Errorf("got %v, want the caller's request unchanged", req.Trailer)
			}
		})
	}
}

func TestFilteredRequestOfAnOutsiderCarriesNoPortkeyHeader(t *testing.T) {
	t.Parallel()
	base := new(recorder)
	req := newRequest(t, t.Context(), "POST", "http://gw.example/v1/chat/completions", "{}")
	req.Header = http.Header{"X-Portkey-Custom-Host": {"https://evil.example"}, "X_portkey_config": {"pc-1"}, "X-Tenant": {"kept"}}
	tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example", IgnoreRequestHeaders: true, Filter: neverRoutedFilter})
	if _, err := tr.RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	if got, want := base.last(t).Header, (http.Header{"X-Tenant": {"kept"}}); !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func neverRoutedFilter(*http.Request) bool { return false }

func TestUpstreamAtTheGatewaysOriginIsAnError(t *testing.T) {
	t.Parallel()
	_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "https://corp.example/portkey/v1", Upstreams: []portkey.Upstream{
		{BaseURL: "https://Corp.example:443/llm/v1", Provider: "openai"},
	}})
	if err == nil || !strings.Contains(err.Error(), "Upstreams[0].BaseURL") {
		t.Errorf("got %v, want an error that names Upstreams[0].BaseURL", err)
	}
}

func TestBaseThatIgnoresHeadersIsAnError(t *testing.T) {
	t.Parallel()
	opts := portkey.Options{BaseURL: "http://gw.example", IgnoreRequestHeaders: true}
	inner, err := portkey.NewTransport(nil, opts)
	if err != nil {
		t.Fatal(err)
	}
	opts.IgnoreRequestHeaders = false
	for name, base := range map[string]http.RoundTripper{"Transport": inner, "retries": portkey.NewRetryTransport(inner)} {
		if _, err := portkey.NewTransport(base, opts); err == nil || !strings.Contains(err.Error(), "IgnoreRequestHeaders") {
			t.Errorf("%s: got %v, want an error that names IgnoreRequestHeaders", name, err)
		}
	}
}

// A proxy in front of the gateway would remove the headers that Connection names.
func TestConnectionHeaderNamesNoPortkeyHeader(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ sent, want string }{
		{"x-portkey-config, Upgrade , X-PORTKEY-api-key", " Upgrade "}, {"Authorization,close", "close"}, {"upgrade", "upgrade"}, {"x-portkey-config", ""},
		{"x-managed,close", "close"},
	} {
		t.Run(tt.sent, func(t *testing.T) {
			base := new(recorder)
			req := newRequest(t, t.Context(), "GET", openAIChat, "")
			spelling := "connection" // not canonical
			req.Header[spelling] = []string{tt.sent}
			opts := portkey.Options{BaseURL: "http://gw.example", Headers: portkey.Headers{Extra: map[string]string{"X-Managed": "x"}}}
			if _, err := newTransport(t, base, opts).RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(base.last(t).Header[spelling], ""); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if values, ok := base.last(t).Header[spelling]; ok && len(values) == 0 {
				t.Error("got a Connection header without values")
			}
		})
	}
}

func TestAPIKeySourceIsAskedForARequestWithoutAKey(t *testing.T) {
	t.Parallel()
	withKey := portkey.WithHeaders(t.Context(), portkey.Headers{APIKey: "context"})
	tests := []struct {
		name, url string
		ctx       context.Context // nil: t.Context()
		header    http.Header
		ignore    bool
		want      string // the key at the gateway
		calls     int
	}{
		{name: "provider's URL", url: openAIChat, want: "key-1", calls: 1},
		{name: "gateway's URL", url: "http://gw.example/v1/models", want: "key-1", calls: 1},
		{name: "key in the context", url: openAIChat, ctx: withKey, want: "context"},
		{name: "key on the request", url: openAIChat, header: http.Header{"x-portkey-api-key": {"request"}}, want: "request"},
		{name: "ignored key on the request", url: openAIChat, header: http.Header{"X-Portkey-Api-Key": {"request"}}, ignore: true, want: "key-1", calls: 1},
		{name: "unknown host", url: "https://other.example/x"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			base, calls := new(recorder), 0
			ctx := t.Context()
			if tt.ctx != nil {
				ctx = tt.ctx
			}
			tr := newTransport(t, base, portkey.Options{
				BaseURL: "http://gw.example", PassUnknownHosts: true, IgnoreRequestHeaders: tt.ignore,
				APIKeySource: func(got context.Context) (string, error) {
					if calls++; got != ctx {
						t.Errorf("got context %v, want the request's", got)
					}
					return fmt.Sprint("key-", calls), nil
				},
			})
			req := newRequest(t, ctx, "GET", tt.url, "")
			if tt.header != nil {
				req.Header = tt.header
			}
			if _, err := tr.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			if got := base.last(t).Header.Get("X-Portkey-Api-Key"); got != tt.want || calls != tt.calls {
				t.Errorf("got key %q after %d calls, want %q after %d", got, calls, tt.want, tt.calls)
			}
		})
	}
}

func TestAPIKeySourceIsAskedOnceForEachHopAtTheGateway(t *testing.T) {
	t.Parallel()
	elsewhere := newServer(t, nil)
	gw := newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{
		"/v1/chat/completions": func() string { return "https://api.openai.com/v1/models" }, "/v1/models": func() string { return elsewhere.URL },
	}))
	var calls int
	c := newClient(t, gw, portkey.Options{APIKeySource: func(context.Context) (string, error) {
		calls++
		return fmt.Sprint("key-", calls), nil
	}})
	do(t, c, newRequest(t, t.Context(), "GET", openAIChat, ""))
	for i, r := range gw.all() {
		if got, want := r.header.Get("X-Portkey-Api-Key"), fmt.Sprint("key-", i+1); got != want {
			t.Errorf("%s: got key %q, want %q", r.uri, got, want)
		}
	}
	if got := elsewhere.last(t).portkeyHeaders(); len(got) > 0 {
		t.Errorf("elsewhere: got %v, want no Portkey header", got)
	}
	if calls != 2 {
		t.Errorf("got %d calls, want 2", calls)
	}
}

func TestAPIKeySourceErrors(t *testing.T) {
	t.Parallel()
	failed := errors.New("token endpoint is down")
	var headerError *portkey.HeaderError
	for _, tt := range []struct {
		name, baseURL, key string
		err                error
		is                 func(error) bool // nil: no error
	}{
		{"error", "http://gw.example", "", failed, func(err error) bool { return errors.Is(err, failed) }},
		{"no key for the hosted gateway", "", "", nil, func(err error) bool { return errors.Is(err, portkey.ErrNoAPIKey) }},
		{"no key for another gateway", "http://gw.example", "", nil, nil},
		{"invalid key", "http://gw.example", secret + "\n", nil, func(err error) bool { return errors.As(err, &headerError) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := new(recorder)
			tr := newTransport(t, base, portkey.Options{BaseURL: tt.baseURL, APIKeySource: func(context.Context) (string, error) { return tt.key, tt.err }})
			_, err := tr.RoundTrip(newRequest(t, t.Context(), "POST", openAIChat, "{}"))
			if tt.is == nil {
				if err != nil || base.last(t).Header["X-Portkey-Api-Key"] != nil {
					t.Errorf("got error %v and %v, want no error and no key", err, base.last(t).Header)
				}
				return
			}
			if !tt.is(err) || len(base.all()) > 0 || strings.Contains(err.Error(), secret) {
				t.Errorf("got %v and %d requests, want an error without the key", err, len(base.all()))
			}
			if !strings.HasPrefix(err.Error(), "portkey: ") || !strings.Contains(err.Error(), "APIKeySource") {
				t.Errorf("got %q, want it to name APIKeySource", err)
			}
		})
	}
}

func TestAPIKeySourceReplacesStaticKeys(t *testing.T) {
	source := func(context.Context) (string, error) { return "fresh", nil }
	t.Setenv("PORTKEY_API_KEY", "environment")
	base := new(recorder)
	tr, err := portkey.NewTransport(base, portkey.Options{APIKeySource: source}) // at the hosted gateway
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", openAIChat, "")); err != nil {
		t.Fatal(err)
	}
	if got := base.last(t).Header.Get("X-Portkey-Api-Key"); got != "fresh" {
		t.Errorf("got key %q, want fresh", got)
	}
	for name, h := range map[string]portkey.Headers{"APIKey": {APIKey: "static"}, "Extra": {Extra: map[string]string{"X-Portkey-Api-Key": "static"}}} {
		_, err := portkey.NewTransport(nil, portkey.Options{APIKeySource: source, Headers: h})
		if err == nil || !strings.Contains(err.Error(), "APIKeySource") || strings.Contains(err.Error(), "static") {
			t.Errorf("%s: got %v, want an error that names APIKeySource", name, err)
		}
	}
}

func TestRotatedKeyIsUsedByEveryLaterCall(t *testing.T) {
	t.Parallel()
	type tenantKey struct{}
	var version atomic.Int64
	gw := newServer(t, func(w http.ResponseWriter, r *http.Request) { w.Header().Set("Key", r.Header.Get("X-Portkey-Api-Key")) })
	c := newClient(t, gw, portkey.Options{APIKeySource: func(ctx context.Context) (string, error) {
		return fmt.Sprintf("%v/%d", ctx.Value(tenantKey{}), version.Load()), nil
	}})
	var wg sync.WaitGroup
	for tenant := range 64 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			ctx := context.WithValue(t.Context(), tenantKey{}, tenant)
			for range 30 {
				before := version.Add(1) // the source has replaced all earlier keys
				resp, _ := do(t, c, newRequest(t, ctx, "POST", openAIChat, "{}"))
				var gotTenant, got int64
				if _, err := fmt.Sscanf(resp.Header.Get("Key"), "%d/%d", &gotTenant, &got); err != nil || gotTenant != int64(tenant) || got < before {
					t.Errorf("got key %q, want one of tenant %d, version %d or later", resp.Header.Get("Key"), tenant, before)
				}
			}
		}()
	}
	wg.Wait()
}

// For an HTTP proxy, net/http writes such a path behind the host: a host of its own.
func TestPathWithoutASlashIsRefused(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"gw.example", "api.openai.com", "other.example"} {
		for _, path := range []string{"@evil.example/v1/chat/completions", "v1/chat/completions", ".evil.example"} {
			t.Run(host+"/"+path, func(t *testing.T) {
				tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example/v1", PassUnknownHosts: true})
				req := newRequest(t, t.Context(), "POST", "http://"+host, "{}")
				req.URL.Path = path
				if _, err := tr.RoundTrip(req); !errors.As(err, new(*portkey.RouteError)) {
					t.Errorf("got %v, want a RouteError", err)
				}
			})
		}
	}
}

func TestOutsiderUpgradesToWebSocketsOnly(t *testing.T) {
	t.Parallel()
	for upgrade, want := range map[string]string{"websocket": "websocket", "WebSocket": "WebSocket", "h2c": "", "websocket, h2c": ""} {
		t.Run(upgrade, func(t *testing.T) {
			base := new(recorder)
			req := newRequest(t, t.Context(), "GET", openAIChat, "")
			req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {upgrade}}
			if _, err := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example", IgnoreRequestHeaders: true}).RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			if got := base.last(t).Header.Get("Upgrade"); got != want {
				t.Errorf("got Upgrade %q, want %q", got, want)
			}
		})
	}
}
