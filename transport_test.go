package portkey_test

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
)

func TestMain(m *testing.M) {
	os.Unsetenv("PORTKEY_API_KEY")
	os.Unsetenv("PORTKEY_BASE_URL")
	// An httptest.Server that closes would close its idle connections under
	// another test's hands.
	http.DefaultTransport = roundTripperFunc(http.DefaultTransport.RoundTrip)
	os.Exit(m.Run())
}

func TestKnownProviderIsRerouted(t *testing.T) {
	t.Parallel()
	tests := []struct{ url, want string }{
		{openAIChat, "/v1/chat/completions"},
		{"https://api.openai.com/v1/models?limit=2&after=a%20b", "/v1/models?limit=2&after=a%20b"},
		{"https://api.openai.com/v1/models/ft%2Fa?", "/v1/models/ft%2Fa?"},
		{"https://api.openai.com/v1", "/v1"},
	}
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace})
	for _, tt := range tests {
		do(t, c, newRequest(t, t.Context(), "GET", tt.url, ""))
		got := s.last(t)
		if got.uri != tt.want {
			t.Errorf("%s: got path %s, want %s", tt.url, got.uri, tt.want)
		}
		if want := strings.TrimPrefix(s.URL, "http://"); got.host != want {
			t.Errorf("%s: got Host %s, want %s", tt.url, got.host, want)
		}
		want := http.Header{"X-Portkey-Provider": {"openai"}}
		if h := got.portkeyHeaders(); !reflect.DeepEqual(h, want) {
			t.Errorf("%s: got %v, want %v", tt.url, h, want)
		}
	}
}

func TestBaseURLPathGoesInFront(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{BaseURL: s.URL + "/llm/portkey/v1/"})
	do(t, c, newRequest(t, t.Context(), "GET", "https://api.openai.com/v1/models/a%2Fb", ""))
	if got, want := s.last(t).uri, "/llm/portkey/v1/models/a%2Fb"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestRequestToTheGatewayKeepsItsURL(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace, Headers: portkey.Headers{APIKey: "pk"}})
	do(t, c, newRequest(t, t.Context(), "GET", s.URL+"/elsewhere/x?y=z", ""))
	got := s.last(t)
	if want := "/elsewhere/x?y=z"; got.uri != want {
		t.Errorf("got %s, want %s", got.uri, want)
	}
	if h, want := got.portkeyHeaders(), (http.Header{"X-Portkey-Api-Key": {"pk"}}); !reflect.DeepEqual(h, want) {
		t.Errorf("got %v, want %v", h, want)
	}
}

func TestUpstreamsAreReroutedAndGoBeforeKnownProviders(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{Upstreams: []portkey.Upstream{
		{BaseURL: "https://LLM.example.com/api", Provider: "short"},
		{BaseURL: "https://LLM.example.com/api/v2/", Provider: "long"},
		{BaseURL: "https://api.openai.com/v1", Provider: "@mine"},
		{BaseURL: "http://nobody.example.com"},
	}})
	tests := []struct{ url, uri, provider string }{
		{"https://LLM.example.com/api/v2/chat/completions", "/v1/chat/completions", "long"},
		{"https://LLM.example.com/api/v3/x", "/v1/v3/x", "short"},
		{openAIChat, "/v1/chat/completions", "@mine"},
		{"http://nobody.example.com/x", "/v1/x", ""},
	}
	for _, tt := range tests {
		do(t, c, newRequest(t, t.Context(), "GET", tt.url, ""))
		got := s.last(t)
		if got.uri != tt.uri || got.header.Get("X-Portkey-Provider") != tt.provider {
			t.Errorf("%s: got %s for %q, want %s for %q", tt.url, got.uri, got.header.Get("X-Portkey-Provider"), tt.uri, tt.provider)
		}
	}
}

func TestProviderIsNotSaidWhenSomethingElseIs(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{})
	for _, h := range []portkey.Headers{
		{Provider: "groq"}, {VirtualKey: "vk"}, {Config: portkey.ConfigSlug("pc-1")}, {Config: portkey.ConfigJSON(`{"targets":[]}`)},
	} {
		do(t, c, newRequest(t, portkey.WithHeaders(t.Context(), h), "GET", openAIChat, ""))
		if got := s.last(t).header.Get("X-Portkey-Provider"); got != h.Provider {
			t.Errorf("%v: got provider %q, want %q", h, got, h.Provider)
		}
	}
	req := newRequest(t, t.Context(), "GET", openAIChat, "")
	req.Header["x-portkey-config"] = []string{"pc-2"}
	do(t, c, req)
	if got := s.last(t).header.Get("X-Portkey-Provider"); got != "" {
		t.Errorf("with a config on the request: got provider %q, want none", got)
	}
}

// The gateway answers 400 to a config object that names no provider, unless the
// header does.
func TestProviderIsSaidBesideAConfigWithoutOne(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{Config: portkey.ConfigJSON(`{"retry":{"attempts":1}}`)})
	do(t, newClient(t, s, portkey.Options{}), newRequest(t, ctx, "GET", openAIChat, ""))
	if got := s.last(t).header.Get("X-Portkey-Provider"); got != "openai" {
		t.Errorf("got provider %q, want openai", got)
	}
}

func TestRequestToAnUnknownHostIsRefused(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example:8787/v1"})
	for _, url := range []string{
		"https://llm.example.com/v1/chat?key=SECRET",
		"https://api.openai.com.evil.example/v1/x",
		"https://evilapi.openai.com/v1/x",
		"https://api.openai.com:8443/v1/x",
		"http://api.openai.com/v1/x",
		"https://user:SECRET@api.openai.com/v1/x",
		"https://API.openai.com/v1/x",
		"https://api.openai.com./v1/x",
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
		body := newCountingBody()
		req := newRequest(t, t.Context(), "POST", url, "")
		req.Body = body
		resp, err := tr.RoundTrip(req)
		var routeErr *portkey.RouteError
		if resp != nil || !errors.As(err, &routeErr) {
			t.Errorf("%s: got %v, %v, want a RouteError", url, resp, err)
			continue
		}
		if host := req.URL.Host; !strings.Contains(err.Error(), host) || !strings.Contains(err.Error(), "http://gw.example:8787/v1") {
			t.Errorf("%s: got %q, want both URLs named", url, err)
		}
		if strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: the error shows a secret: %v", url, err)
		}
		if got := body.closed.Load(); got != 1 {
			t.Errorf("%s: body closed %d times, want 1", url, got)
		}
	}
}

func TestGatewayOriginIsComparedByEffectivePortAndCase(t *testing.T) {
	t.Parallel()
	var sent int
	tr := newTransport(t, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		sent++
		return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
	}), portkey.Options{BaseURL: "https://gw.example/v1"})
	urls := []string{"https://gw.example/v1/x", "https://gw.example:443/v1/x", "https://GW.example/x", "HTTPS://gw.example"}
	for _, url := range urls {
		if _, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", url, "")); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
	if sent != len(urls) {
		t.Errorf("got %d requests sent, want %d", sent, len(urls))
	}
}

func TestHostThatDiffersFromTheURLIsRefused(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example/v1"})
	for _, url := range []string{"http://gw.example/v1/x", openAIChat} {
		req := newRequest(t, t.Context(), "GET", url, "")
		req.Host = "evil.example"
		var routeErr *portkey.RouteError
		if _, err := tr.RoundTrip(req); !errors.As(err, &routeErr) {
			t.Errorf("%s: got %v, want a RouteError", url, err)
		}
	}
}

func TestFilteredRequestPassesUntouched(t *testing.T) {
	t.Parallel()
	elsewhere := newServer(t, nil)
	var passed *http.Request
	base := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		passed = r
		return http.DefaultTransport.RoundTrip(r)
	})
	tr := newTransport(t, base, portkey.Options{
		BaseURL: "http://gw.example/v1",
		Headers: portkey.Headers{APIKey: "pk"},
		Filter:  func(r *http.Request) bool { return r.URL.Host == "api.openai.com" },
	})
	c := &http.Client{Transport: tr}

	ctx := portkey.WithHeaders(portkey.WithTrace(t.Context(), "t1"), portkey.Headers{Debug: portkey.Bool(false)})
	req := newRequest(t, ctx, "POST", elsewhere.URL+"/x", "{}")
	req.Header.Set("Authorization", "Bearer sk")
	if _, err := tr.RoundTrip(req); err != nil {
		t.Fatal(err)
	}
	if passed != req {
		t.Error("the base got another request than the caller's")
	}

	req = newRequest(t, ctx, "POST", elsewhere.URL+"/x", "{}")
	req.Header.Set("Authorization", "Bearer sk")
	req.Header["x-PORTKEY-api-key"] = []string{"pk"}
	do(t, c, req)
	if len(req.Header) != 2 {
		t.Errorf("the caller's header was changed: %v", req.Header)
	}
	got := elsewhere.last(t)
	if h := got.portkeyHeaders(); len(h) > 0 {
		t.Errorf("got %v elsewhere, want none", h)
	}
	if got.header.Get("Authorization") != "Bearer sk" || got.body != "{}" {
		t.Errorf("got %v, want Authorization and body kept", got)
	}
}

func TestWrapClientKeepsTheClient(t *testing.T) {
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
		t.Error("WrapClient changed its argument")
	}
	if wrapped.Timeout != c.Timeout || wrapped.Jar != c.Jar || wrapped.CheckRedirect == nil {
		t.Errorf("got %+v, want timeout, jar and redirect policy of %+v", wrapped, c)
	}
	do(t, wrapped, newRequest(t, t.Context(), "GET", openAIChat, ""))
	if jar.asked == 0 {
		t.Error("the cookie jar was not asked")
	}
}

type countingJar struct{ asked int }

func (j *countingJar) SetCookies(*url.URL, []*http.Cookie) {}
func (j *countingJar) Cookies(*url.URL) []*http.Cookie     { j.asked++; return nil }

func TestEnvironmentDefaults(t *testing.T) {
	s := newServer(t, nil)
	t.Setenv("PORTKEY_API_KEY", "pk-env")
	t.Setenv("PORTKEY_BASE_URL", s.URL+"/env/v1")

	c, err := portkey.WrapClient(nil, portkey.Options{})
	if err != nil {
		t.Fatal(err)
	}
	do(t, c, newRequest(t, t.Context(), "GET", openAIChat, ""))
	got := s.last(t)
	if got.uri != "/env/v1/chat/completions" || got.header.Get("X-Portkey-Api-Key") != "pk-env" {
		t.Errorf("got %s with key %q, want the environment's", got.uri, got.header.Get("X-Portkey-Api-Key"))
	}

	do(t, newClient(t, s, portkey.Options{Headers: portkey.Headers{APIKey: "pk-opt"}}), newRequest(t, t.Context(), "GET", openAIChat, ""))
	got = s.last(t)
	if got.uri != "/v1/chat/completions" || got.header.Get("X-Portkey-Api-Key") != "pk-opt" {
		t.Errorf("got %s with key %q, want those of Options", got.uri, got.header.Get("X-Portkey-Api-Key"))
	}

	t.Setenv("PORTKEY_BASE_URL", "http://user:SECRET@gw.example")
	_, err = portkey.NewTransport(nil, portkey.Options{})
	if err == nil || !strings.Contains(err.Error(), "PORTKEY_BASE_URL") || strings.Contains(err.Error(), "SECRET") {
		t.Errorf("got %v, want an error that names PORTKEY_BASE_URL and not its value", err)
	}
}

func TestHostedGatewayNeedsAKey(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"", portkey.DefaultBaseURL, "https://API.portkey.ai:443"} {
		if _, err := portkey.NewTransport(nil, portkey.Options{BaseURL: url}); err == nil || !strings.Contains(err.Error(), "PORTKEY_API_KEY") {
			t.Errorf("%q: got %v, want an error that names PORTKEY_API_KEY", url, err)
		}
	}
	newTransport(t, nil, portkey.Options{Headers: portkey.Headers{APIKey: "pk"}})
	newTransport(t, nil, portkey.Options{BaseURL: "http://127.0.0.1:8787/v1"})
}

func TestBadBaseURLIsRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{
		"gw.SECRET/v1", "SECRET:8787", "//gw.SECRET", "http://", "http://:80", "file:///SECRET", "ftp://SECRET",
		"http://u:SECRET@gw.example", "http://SECRET@gw.example", "http://gw.example/?k=SECRET", "http://gw.example?",
		"http://gw.example#SECRET", "http://gw.example/#", "http://SECRET\n", " http://SECRET", "http:SECRET", "http://gw.example/a%2FSECRET", "http://SECRET:0", "http://SECRET:65536",
	} {
		for name, opts := range map[string]portkey.Options{
			"BaseURL":              {BaseURL: url},
			"Upstreams[0].BaseURL": {BaseURL: "http://gw.example", Upstreams: []portkey.Upstream{{BaseURL: url}}},
		} {
			tr, err := portkey.NewTransport(nil, opts)
			if tr != nil || err == nil || !strings.HasPrefix(err.Error(), "portkey: "+name+" ") || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("%s %q: got %v, want an error that names it and not its value", name, url, err)
			}
		}
	}
}

func TestTraceID(t *testing.T) {
	t.Parallel()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	made := func(context.Context) string { return "made" }
	tests := []struct {
		name        string
		opts        portkey.Options
		ctx         func(context.Context) context.Context
		header      http.Header
		trace, span string
	}{
		{name: "from NewTraceID", opts: portkey.Options{NewTraceID: made}, trace: "made"},
		{name: "none", opts: portkey.Options{NewTraceID: noTrace}},
		{name: "from Options", opts: portkey.Options{NewTraceID: made, Headers: portkey.Headers{TraceID: "static"}}, trace: "static"},
		{name: "from the context", opts: portkey.Options{Headers: portkey.Headers{TraceID: "static"}},
			ctx: func(ctx context.Context) context.Context { return portkey.WithTrace(ctx, "ctx") }, trace: "ctx"},
		{name: "from the request", ctx: func(ctx context.Context) context.Context { return portkey.WithTrace(ctx, "ctx") },
			header: http.Header{"x-portkey-trace-id": {"own"}}, trace: "own"},
		{name: "from traceparent", opts: portkey.Options{NewTraceID: made}, header: http.Header{"Traceparent": {parent}},
			trace: "0af7651916cd43dd8448eb211c80319c", span: "b7ad6b7169203331"},
		{name: "before traceparent", ctx: func(ctx context.Context) context.Context { return portkey.WithTrace(ctx, "ctx") },
			header: http.Header{"Traceparent": {parent}}, trace: "ctx"},
		{name: "traceparent with an explicit parent span", opts: portkey.Options{Headers: portkey.Headers{ParentSpanID: "p"}},
			header: http.Header{"traceparent": {parent}}, trace: "0af7651916cd43dd8448eb211c80319c", span: "p"},
		{name: "a later version of traceparent", header: http.Header{"Traceparent": {"cc" + parent[2:] + "-what-comes"}},
			trace: "0af7651916cd43dd8448eb211c80319c", span: "b7ad6b7169203331"},
		{name: "traceparent too long", opts: portkey.Options{NewTraceID: made}, header: http.Header{"Traceparent": {parent + "-x"}}, trace: "made"},
		{name: "traceparent of zeros", opts: portkey.Options{NewTraceID: made},
			header: http.Header{"Traceparent": {"00-00000000000000000000000000000000-b7ad6b7169203331-01"}}, trace: "made"},
		{name: "traceparent in two lines", opts: portkey.Options{NewTraceID: made}, header: http.Header{"Traceparent": {parent, parent}}, trace: "made"},
		{name: "traceparent in capitals", opts: portkey.Options{NewTraceID: made}, header: http.Header{"Traceparent": {strings.ToUpper(parent)}}, trace: "made"},
	}
	for _, tt := range tests {
		s := newServer(t, nil)
		ctx := t.Context()
		if tt.ctx != nil {
			ctx = tt.ctx(ctx)
		}
		req := newRequest(t, ctx, "GET", openAIChat, "")
		maps.Copy(req.Header, tt.header)
		do(t, newClient(t, s, tt.opts), req)
		h := s.last(t).header
		var want []string
		if tt.trace != "" {
			want = []string{tt.trace}
		}
		if got := h.Values("X-Portkey-Trace-Id"); !slices.Equal(got, want) {
			t.Errorf("%s: got trace %q, want %q", tt.name, got, want)
		}
		if got := h.Get("X-Portkey-Parent-Span-Id"); got != tt.span {
			t.Errorf("%s: got parent span %q, want %q", tt.name, got, tt.span)
		}
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

func TestAPIKeyInExtraIsEnoughForTheHostedGateway(t *testing.T) {
	t.Parallel()
	newTransport(t, nil, portkey.Options{Headers: portkey.Headers{Extra: map[string]string{"x-portkey-api-key": "pk"}}})
}

func TestBadUpstreamProviderIsRefused(t *testing.T) {
	t.Parallel()
	for _, provider := range []string{"SECRET\n", "SECRETé", " SECRET"} {
		_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Upstreams: []portkey.Upstream{
			{BaseURL: "https://a.example", Provider: "openai"}, {BaseURL: "https://b.example", Provider: provider},
		}})
		if err == nil || !strings.HasPrefix(err.Error(), "portkey: Upstreams[1].Provider") || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%q: got %v, want an error that names it and not its value", provider, err)
		}
	}
}

func TestHandMadeURLThatMeansAnotherIsRefused(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example/v1"})
	for _, u := range []*url.URL{
		{Scheme: "http", Host: "gw.example", Opaque: "//evil.example/x"},
		{Scheme: "https", Host: "api.openai.com", Path: "/v1/x", Opaque: "//evil.example/v1/x"},
		{Scheme: "https", Host: "api.openai.com", Path: "/oauth/token", RawPath: "/v1/x"},
		{Scheme: "https", Host: "api.openai.com", Path: "/v1/x", RawPath: "/%761/x"},
	} {
		req := newRequest(t, t.Context(), "GET", "http://gw.example", "")
		req.URL, req.Host = u, ""
		var routeErr *portkey.RouteError
		if _, err := tr.RoundTrip(req); !errors.As(err, &routeErr) {
			t.Errorf("%+v: got %v, want a RouteError", u, err)
		}
	}
}

func TestGatewayPortIsThatOfItsScheme(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		gateway, url, host string
		ok                 bool
	}{
		{"http://gw.example/v1", "http://gw.example:80/x", "", true},
		{"http://gw.example:80/v1", "http://gw.example/x", "", true},
		{"http://gw.example/v1", "http://gw.example:443/x", "", false},
		{"https://gw.example/v1", "https://gw.example:80/x", "", false},
		{"https://gw.example/v1", "https://gw.example/x", "GW.example:443", true},
		{"https://gw.example/v1", "https://gw.example/x", "gw.example:8443", false},
	} {
		tr := newTransport(t, roundTripperFunc(func(*http.Request) (*http.Response, error) { return nil, io.EOF }), portkey.Options{BaseURL: tt.gateway})
		req := newRequest(t, t.Context(), "GET", tt.url, "")
		if tt.host != "" {
			req.Host = tt.host
		}
		if _, err := tr.RoundTrip(req); (err == io.EOF) != tt.ok {
			t.Errorf("%s %s for %s: got %v, want it sent: %v", tt.url, tt.host, tt.gateway, err, tt.ok)
		}
		req.URL.Scheme = strings.ToUpper(req.URL.Scheme) // by hand: a parsed one is in lower case
		if _, err := tr.RoundTrip(req); (err == io.EOF) != tt.ok {
			t.Errorf("%v: got %v, want it sent: %v", req.URL, err, tt.ok)
		}
	}
}

func TestRouteErrorNamesTheURLWithoutItsSecrets(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example/v1"})
	_, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", "https://u:SECRET@llm.example.com/a%2Fb/c?k=SECRET#SECRET", ""))
	var routeErr *portkey.RouteError
	if !errors.As(err, &routeErr) {
		t.Fatalf("got %v, want a RouteError", err)
	}
	if want := (portkey.RouteError{URL: "https://llm.example.com/a%2Fb/c", Gateway: "http://gw.example/v1"}); *routeErr != want {
		t.Errorf("got %+v, want %+v", *routeErr, want)
	}
	for redirect, want := range map[bool]string{false: "Upstreams", true: "redirect"} {
		if got := (&portkey.RouteError{URL: "u", Gateway: "g", Redirect: redirect}).Error(); !strings.Contains(got, want) {
			t.Errorf("got %q, want it to contain %q", got, want)
		}
	}
}

func TestFilteredRequestKeepsItsPortkeyHeadersAtTheGatewayOnly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		url, host string
		want      []string
	}{
		{url: "http://gw.example/v1/x", want: []string{"own"}},
		{url: "http://gw.example/v1/x", host: "evil.example"},
		{url: "http://elsewhere.example/x"},
	} {
		var passed *http.Request
		tr := newTransport(t, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			passed = r
			return nil, io.EOF
		}), portkey.Options{
			BaseURL: "http://gw.example/v1", Headers: portkey.Headers{APIKey: "pk"},
			Filter: func(*http.Request) bool { return false },
		})
		// What the context has for Portkey is of no concern here, even if it is wrong.
		req := newRequest(t, portkey.WithTrace(t.Context(), "a\nb"), "GET", tt.url, "")
		if tt.host != "" {
			req.Host = tt.host
		}
		req.Header = http.Header{"x-portkey-API-key": {"own"}, "X-Api-Key": {"sk"}}
		if _, err := tr.RoundTrip(req); err != io.EOF {
			t.Errorf("%s %s: got %v, want the base's error", tt.url, tt.host, err)
			continue
		}
		odd := "x-portkey-API-key"
		if got := passed.Header[odd]; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s %s: got %q, want %q", tt.url, tt.host, got, tt.want)
		}
		if passed.Header.Get("X-Api-Key") != "sk" {
			t.Errorf("%s %s: got %v, want the credential kept", tt.url, tt.host, passed.Header)
		}
		if want := (http.Header{"x-portkey-API-key": {"own"}, "X-Api-Key": {"sk"}}); !reflect.DeepEqual(req.Header, want) {
			t.Errorf("%s %s: the caller's header is now %v", tt.url, tt.host, req.Header)
		}
	}
}

func TestBadTraceIDOfNewTraceIDFailsTheCall(t *testing.T) {
	t.Parallel()
	for _, bad := range []string{secret + "\n", secret + "é", " " + secret} {
		tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example", NewTraceID: func(context.Context) string { return bad }})
		_, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", openAIChat, ""))
		checkHeaderError(t, err, "x-portkey-trace-id")
	}
}

func TestInvalidTraceparentIsIgnored(t *testing.T) {
	t.Parallel()
	const trace, span = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	valid := "00-" + trace + "-" + span + "-01"
	for _, lines := range [][]string{
		{""}, {valid, valid},
		{"00-" + trace + "-" + span},
		{"0-" + trace + "-" + span + "-01"}, {"0g-" + trace + "-" + span + "-01"}, {"ff-" + trace + "-" + span + "-01"},
		{"00-" + trace[1:] + "-" + span + "-01"}, {"00-g" + trace[1:] + "-" + span + "-01"},
		{"00-" + trace + "-" + span[1:] + "-01"}, {"00-" + trace + "-g" + span[1:] + "-01"}, {"00-" + trace + "-0000000000000000-01"},
		{"00-" + trace + "-" + span + "-1"}, {"00-" + trace + "-" + span + "-0g"},
	} {
		var got http.Header
		tr := newTransport(t, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
			got = r.Header
			return nil, io.EOF
		}), portkey.Options{BaseURL: "http://gw.example", NewTraceID: func(context.Context) string { return "made" }})
		req := newRequest(t, t.Context(), "GET", "http://gw.example", "")
		req.Header["Traceparent"] = lines
		tr.RoundTrip(req)
		want := http.Header{"Traceparent": lines, "X-Portkey-Trace-Id": {"made"}}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %v, want %v", lines, got, want)
		}
	}
}

func TestBaseURLIsTrimmedOfSlashesAndPlain(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	do(t, newClient(t, s, portkey.Options{BaseURL: s.URL + "/v1//"}), newRequest(t, t.Context(), "GET", openAIChat, ""))
	if got, want := s.last(t).uri, "/v1/chat/completions"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for _, path := range []string{"/SECRETé", "/SECRET x", "/a%2FSECRET", "/a%20SECRET"} {
		_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example" + path})
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: got %v, want an error without the value", path, err)
		}
	}
}
