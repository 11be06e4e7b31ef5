package portkey_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
	openai "github.com/sashabaranov/go-openai"
)

// foreign returns s's URL by another name: to a client, another host.
func foreign(s *server) string { return strings.Replace(s.URL, "127.0.0.1", "localhost", 1) }

// redirectTo redirects requests for path to the URL that to returns.
func redirectTo(status int, hops map[string]func() string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if to, ok := hops[r.URL.Path]; ok {
			w.Header().Set("Location", to())
			w.WriteHeader(status)
		}
	}
}

// ownHeaders is what a caller may have put on the request itself.
func ownHeaders(h http.Header) {
	h["X-PORTKEY-VIRTUAL-KEY"] = []string{"own-" + secret}
	h["x-portkey-unheard-of"] = []string{"own-" + secret}
	h["x-api-key"] = []string{"own-" + secret}
	h.Set("Api-Key", "own-"+secret)
	h.Set("Authorization", "Bearer own-"+secret)
	h.Set("Cookie", "own="+secret)
	h.Set("Proxy-Authorization", "own-"+secret)
}

func secretOptions() portkey.Options {
	return portkey.Options{Headers: portkey.Headers{
		APIKey: secret, Config: portkey.ConfigJSON(`{"retry":{"attempts":1},"api_key":"` + secret + `"}`),
		AWS: portkey.AWS{SecretAccessKey: secret}, Metadata: portkey.Metadata{"who": secret},
	}}
}

func checkNoSecret(t *testing.T, where string, got receivedRequest) {
	t.Helper()
	if text := fmt.Sprint(got); strings.Contains(text, secret) {
		t.Errorf("%s: a secret arrived: %s", where, text)
	}
	for key := range got.header {
		if strings.HasPrefix(strings.ToLower(key), "x-portkey-") {
			t.Errorf("%s: %s arrived", where, key)
		}
	}
}

// dialer returns a base that takes no name for what it is: each connection goes to
// the loopback address that to returns for a host and port, TLS as it comes.
func dialer(t *testing.T, to func(hostPort string) string) *http.Transport {
	base := &http.Transport{
		DialContext: func(ctx context.Context, network, hostPort string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, to(hostPort))
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	t.Cleanup(base.CloseIdleConnections)
	return base
}

// The gateway sends a call away, and that place sends it back.
func TestRedirectToAnotherOriginGetsNoSecret(t *testing.T) {
	t.Parallel()
	for name, origin := range map[string]string{
		"host": "http://evil.example", "port": "http://gw.corp.example:8080", "scheme": "https://gw.corp.example",
		"subdomain": "http://sub.gw.corp.example", "parent domain": "http://corp.example", "suffix": "http://gw.corp.example.evil.example",
		"prefix": "http://evil-gw.corp.example", "final dot": "http://gw.corp.example.", "gateway as user": "http://gw.corp.example@evil.example",
		"provider": "http://api.openai.com",
	} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprint(status, " to another ", name), func(t *testing.T) {
				t.Parallel()
				redirectAwayAndBack(t, status, origin)
			})
		}
	}
}

func redirectAwayAndBack(t *testing.T, status int, origin string) {
	away := func() string { return origin + "/away" }
	respond := redirectTo(status, map[string]func() string{"/v1/chat/completions": away, "/v1/models": away})
	gw := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: secret, Path: "/"})
		respond(w, r)
		io.WriteString(w, "{}")
	})
	elsewhere := newServer(t, redirectTo(status, map[string]func() string{"/away": func() string { return "http://gw.corp.example/v1/back" }}))
	secure := httptest.NewTLSServer(elsewhere.Config.Handler)
	t.Cleanup(secure.Close)
	base := dialer(t, func(hostPort string) string {
		switch {
		case hostPort == "gw.corp.example:80":
			return gw.Listener.Addr().String()
		case strings.HasSuffix(hostPort, ":443"):
			return secure.Listener.Addr().String()
		}
		return elsewhere.Listener.Addr().String()
	})
	opts := secretOptions()
	opts.BaseURL = "http://gw.corp.example/v1"
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	send := func(c *http.Client, method, url, body string) error {
		req := newRequest(t, t.Context(), method, url, body)
		ownHeaders(req.Header)
		resp, err := c.Do(req)
		if err == nil {
			resp.Body.Close()
		}
		return err
	}
	goOpenAI := func(c *http.Client, baseURL string) *openai.Client {
		cfg := openai.DefaultConfig("sk-" + secret)
		cfg.BaseURL, cfg.HTTPClient = baseURL, c
		return openai.NewClientWithConfig(cfg)
	}
	calls := map[string]func(c *http.Client, baseURL string) error{
		"GET": func(c *http.Client, baseURL string) error { return send(c, "GET", baseURL+"/models", "") },
		"POST": func(c *http.Client, baseURL string) error {
			return send(c, "POST", baseURL+"/chat/completions", `{"prompt":"`+secret+`"}`)
		},
		"go-openai's ListModels": func(c *http.Client, baseURL string) error {
			_, err := goOpenAI(c, baseURL).ListModels(t.Context())
			return err
		},
		"go-openai's CreateChatCompletion": func(c *http.Client, baseURL string) error {
			_, err := goOpenAI(c, baseURL).CreateChatCompletion(t.Context(), openai.ChatCompletionRequest{Model: secret})
			return err
		},
	}
	for _, name := range slices.Sorted(maps.Keys(calls)) {
		call := calls[name]
		for _, baseURL := range []string{opts.BaseURL, "https://api.openai.com/v1"} {
			for _, jar := range []http.CookieJar{nil, jar} {
				where := fmt.Sprintf("%s of %s, with cookies: %t", name, baseURL, jar != nil)
				nGateway, nElsewhere := len(gw.all()), len(elsewhere.all())
				err := call(&http.Client{Transport: newTransport(t, base, opts), Jar: jar}, baseURL)
				atGateway, away := gw.all()[nGateway:], elsewhere.all()[nElsewhere:]
				if len(atGateway) == 0 || atGateway[0].header.Get("X-Portkey-Api-Key") != secret {
					t.Fatalf("%s: got %v, %v, want the first hop at the gateway, with the key", where, atGateway, err)
				}
				for _, hop := range append(atGateway[1:], away...) {
					checkNoSecret(t, where+", at "+hop.host, hop)
				}
				if atGateway[0].body != "" && status >= 307 {
					// The body would be sent again.
					var routeErr *portkey.RouteError
					if !errors.As(err, &routeErr) || !routeErr.Redirect || len(atGateway) != 1 || len(away) != 0 {
						t.Errorf("%s: got %v, and sent %v, want a RouteError and nothing more sent", where, err, away)
					}
				} else if err != nil || len(away) != 1 || len(atGateway) != 2 || atGateway[1].uri != "/v1/back" {
					t.Errorf("%s: got %v and %d hops elsewhere, want it followed there and back", where, err, len(away))
				}
			}
		}
	}
}

func TestRedirectBackToTheGatewayStaysBare(t *testing.T) {
	t.Parallel()
	var gw *server
	gw = newServer(t, func(w http.ResponseWriter, r *http.Request) {
		hops := map[string]string{"/v1/start": foreign(gw) + "/away", "/away": gw.URL + "/back", "/back": gw.URL + "/v1/further", "/v1/further": openAIChat}
		if to := hops[r.URL.Path]; to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	})
	// What is not for the gateway any more goes to its own URL. Nothing here may
	// reach api.openai.com, so the base stops it.
	var strayed *http.Request
	base := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host == "api.openai.com" {
			strayed = r
			return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
		}
		return http.DefaultTransport.RoundTrip(r)
	})
	opts := secretOptions()
	opts.BaseURL = gw.URL + "/v1"
	c := &http.Client{Transport: newTransport(t, base, opts)}
	req := newRequest(t, t.Context(), "GET", gw.URL+"/v1/start", "")
	ownHeaders(req.Header)
	do(t, c, req)
	all := gw.all()
	if got := all[0].header.Get("X-Portkey-Api-Key"); got != secret {
		t.Errorf("first hop: got key %q, want it", got)
	}
	for _, hop := range all[1:] {
		checkNoSecret(t, hop.uri, hop)
	}
	if len(all) != 4 {
		t.Errorf("got %d hops, want 4", len(all))
	}
	if strayed == nil {
		t.Fatal("the last hop was not sent")
	}
	checkNoSecret(t, "api.openai.com", receivedRequest{header: strayed.Header})
}

func TestRedirectWithinTheGatewayKeepsEverything(t *testing.T) {
	t.Parallel()
	for name, location := range map[string]func(*server) string{
		"absolute":           func(gw *server) string { return gw.URL + "/base/v1/next" },
		"relative":           func(gw *server) string { return "/base/v1/next" },
		"to the provider":    func(gw *server) string { return "https://api.openai.com/v1/next" },
		"relative to itself": func(gw *server) string { return "../next" },
	} {
		for _, url := range []string{openAIChat, "gateway"} {
			var gw *server
			gw = newServer(t, func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/base/v1/chat/completions" {
					w.Header().Set("Location", location(gw))
					w.WriteHeader(http.StatusTemporaryRedirect)
				}
			})
			opts := portkey.Options{BaseURL: gw.URL + "/base/v1", Headers: portkey.Headers{APIKey: "pk"}}
			provider := "openai"
			if url == "gateway" {
				url, provider = gw.URL+"/base/v1/chat/completions", ""
				if name == "to the provider" {
					provider = "openai"
				}
			}
			do(t, newClient(t, gw, opts), newRequest(t, t.Context(), "POST", url, "{}"))
			first, got := gw.all()[0], gw.last(t)
			if got.uri != "/base/v1/next" || got.body != "{}" || got.header.Get("X-Portkey-Api-Key") != "pk" {
				t.Errorf("%s from %s: got %+v, want the whole request at /base/v1/next", name, url, got)
			}
			if p := got.header.Get("X-Portkey-Provider"); p != provider {
				t.Errorf("%s from %s: got provider %q, want %q", name, url, p, provider)
			}
			if id, want := got.header.Get("X-Portkey-Trace-Id"), first.header.Get("X-Portkey-Trace-Id"); id != want || id == "" {
				t.Errorf("%s from %s: got trace %q, want that of the first hop, %q", name, url, id, want)
			}
		}
	}
}

func TestRedirectWithAnUnknownPastIsForeign(t *testing.T) {
	t.Parallel()
	gw := newServer(t, nil)
	tr := newTransport(t, nil, portkey.Options{BaseURL: gw.URL, Headers: portkey.Headers{APIKey: secret}})
	get := newRequest(t, t.Context(), "GET", gw.URL, "")
	get.Response = &http.Response{} // of no known request
	resp, err := tr.RoundTrip(get)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	checkNoSecret(t, "broken chain", gw.last(t))

	empty := newRequest(t, t.Context(), "POST", gw.URL, "")
	empty.Body, empty.Response = http.NoBody, &http.Response{}
	if resp, err = tr.RoundTrip(empty); err != nil {
		t.Errorf("got %v, want a POST without a body sent", err)
	} else {
		resp.Body.Close()
	}

	body := newCountingBody()
	post := newRequest(t, t.Context(), "POST", gw.URL, "")
	post.Body, post.Response = body, &http.Response{}
	filtered := newTransport(t, notCalled(t), portkey.Options{BaseURL: gw.URL, Filter: func(*http.Request) bool { return false }})
	for i, tr := range []http.RoundTripper{tr, filtered} {
		var routeErr *portkey.RouteError
		if _, err := tr.RoundTrip(post); !errors.As(err, &routeErr) {
			t.Errorf("got %v, want a RouteError", err)
		}
		if got := int(body.closed.Load()); got != i+1 {
			t.Errorf("got the body closed %d times, want %d", got, i+1)
		}
	}
}

func TestRedirectThatDoesNotEndItsTrailIsForeign(t *testing.T) {
	t.Parallel()
	gw := newServer(t, nil)
	tr := newTransport(t, nil, portkey.Options{BaseURL: gw.URL, Headers: portkey.Headers{APIKey: secret}})
	req := newRequest(t, t.Context(), "GET", gw.URL, "")
	req.Response = &http.Response{Request: req} // as of a base that uses a response again
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	checkNoSecret(t, "endless trail", gw.last(t))
}

func TestRedirectToALookAlikeIsForeign(t *testing.T) {
	t.Parallel()
	const gateway = "http://gw.micorp.example/v1"
	for _, look := range []string{
		"http://gw.m\u0130corp.example/x", // strings.ToLower makes it the gateway's, but it is another host
		"http://gw.micorp.example.evil.example/x",
		"http://evil.gw.micorp.example/x",
		"http://gw.micorp.example:8080/x",
		"https://gw.micorp.example/x",
		"http://gw.micorp.example./x",
	} {
		for _, method := range []string{"GET", "POST"} {
			var away *http.Request
			base := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
				if r.URL.Path != "/v1/chat/completions" {
					away = r
					return &http.Response{StatusCode: 200, Body: http.NoBody, Request: r}, nil
				}
				h := http.Header{"Location": {look}}
				return &http.Response{StatusCode: 307, Header: h, Body: http.NoBody, Request: r}, nil
			})
			c := &http.Client{Transport: newTransport(t, base, portkey.Options{BaseURL: gateway, Headers: portkey.Headers{APIKey: secret}})}
			body := ""
			if method == "POST" {
				body = "{}"
			}
			resp, err := c.Do(newRequest(t, t.Context(), method, openAIChat, body))
			if method == "POST" {
				if err == nil || away != nil {
					t.Errorf("%s: got %v, sent %v, want the body refused", look, err, away)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", look, err)
				continue
			}
			resp.Body.Close()
			checkNoSecret(t, look, receivedRequest{header: away.Header})
		}
	}
}

// A past hop counts by where it was sent: the URL as a whole, and its Host.
func TestPastHopMustHaveBeenAtTheGateway(t *testing.T) {
	t.Parallel()
	gw := newServer(t, nil)
	tr := newTransport(t, nil, portkey.Options{BaseURL: gw.URL, Headers: portkey.Headers{APIKey: secret}})
	hostElsewhere := newRequest(t, t.Context(), "GET", gw.URL, "")
	hostElsewhere.Host = "evil.example"
	opaque := newRequest(t, t.Context(), "GET", gw.URL, "")
	opaque.URL.Opaque = "//evil.example/x"
	for _, past := range []*http.Request{hostElsewhere, opaque} {
		req := newRequest(t, t.Context(), "GET", gw.URL, "")
		req.Response = &http.Response{Request: past}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		checkNoSecret(t, past.URL.String()+" "+past.Host, gw.last(t))
	}
}

func TestRedirectPolicyMayChangeTheURL(t *testing.T) {
	t.Parallel()
	gw := newServer(t, redirectTo(http.StatusFound, map[string]func() string{"/v1/start": func() string { return "/v1/next" }}))
	c := newClient(t, gw, portkey.Options{})
	c.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		req.URL.Path = "/v1/changed"
		return nil
	}
	do(t, c, newRequest(t, t.Context(), "GET", "https://api.openai.com/v1/start", ""))
	if got := gw.last(t).uri; got != "/v1/changed" {
		t.Errorf("got %s, want /v1/changed", got)
	}
}

func TestRedirectOfAFilteredRequestIsPassedOn(t *testing.T) {
	t.Parallel()
	gw := newServer(t, nil)
	second := newServer(t, nil)
	first := newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{
		"/x": func() string { return second.URL + "/y" }, "/to-gateway": func() string { return gw.URL + "/v1/y" },
	}))
	c := newClient(t, gw, portkey.Options{
		Headers: portkey.Headers{APIKey: secret},
		Filter:  func(r *http.Request) bool { return "http://"+r.URL.Host != first.URL },
	})
	do(t, c, newRequest(t, t.Context(), "POST", first.URL+"/x", "{}"))
	if got := second.last(t); got.body != "{}" || got.uri != "/y" {
		t.Errorf("got %+v, want the request", got)
	}
	req := newRequest(t, t.Context(), "GET", first.URL+"/to-gateway", "")
	req.Header.Set("X-Portkey-Api-Key", secret)
	do(t, c, req)
	checkNoSecret(t, "gateway after a foreign hop", gw.last(t))
}

func TestFilterIsNotAskedAboutARedirectFromTheGateway(t *testing.T) {
	t.Parallel()
	var gw *server
	gw = newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{"/v1/chat/completions": func() string { return foreign(gw) + "/x" }}))
	c := newClient(t, gw, portkey.Options{Filter: func(r *http.Request) bool { return r.URL.Host == "api.openai.com" }})
	_, err := c.Do(newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	var routeErr *portkey.RouteError
	if !errors.As(err, &routeErr) {
		t.Errorf("got %v, want a RouteError", err)
	}
	if n := len(gw.all()); n != 1 {
		t.Errorf("got %d requests, want 1", n)
	}
}

func TestRedirectOfAFilteredRequestGetsNoPortkeyHeaders(t *testing.T) {
	t.Parallel()
	gw := newServer(t, nil)
	elsewhere := newServer(t, redirectTo(http.StatusFound, map[string]func() string{"/x": func() string { return gw.URL + "/v1/y" }}))
	c := newClient(t, gw, portkey.Options{
		Headers: portkey.Headers{APIKey: secret},
		Filter:  func(r *http.Request) bool { return "http://"+r.URL.Host != elsewhere.URL },
	})
	do(t, c, newRequest(t, t.Context(), "GET", elsewhere.URL+"/x", ""))
	checkNoSecret(t, "gateway", gw.last(t))
}

func TestResponseOfAForeignHopIsNotReported(t *testing.T) {
	t.Parallel()
	elsewhere := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Portkey-Trace-Id", "forged")
		io.WriteString(w, "x")
	})
	gw := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Portkey-Trace-Id", "t1")
		http.Redirect(w, r, elsewhere.URL, http.StatusFound)
	})
	var info portkey.ResponseInfo
	ctx := portkey.WithResponseInfo(t.Context(), &info)
	do(t, newClient(t, gw, portkey.Options{}), newRequest(t, ctx, "GET", openAIChat, ""))
	if info.TraceID != "t1" {
		t.Errorf("got trace %q, want t1", info.TraceID)
	}
}

func TestRedirectElsewhereWithoutABodyIsFollowedForAnyMethod(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "HEAD", "DELETE", "POST"} {
		for _, body := range []io.ReadCloser{nil, http.NoBody} {
			var gw *server
			gw = newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{"/v1/x": func() string { return foreign(gw) + "/y" }}))
			req := newRequest(t, t.Context(), method, gw.URL+"/v1/x", "")
			req.Body = body
			if body != nil {
				req.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
			}
			do(t, newClient(t, gw, secretOptions()), req)
			if got := gw.last(t); got.uri != "/y" || got.method != method {
				t.Errorf("%s: got %s %s, want the redirect followed", method, got.method, got.uri)
			}
			checkNoSecret(t, method, gw.last(t))
		}
	}
}

func TestRedirectTrailThatIsNotWhollyTheGatewaysGetsNoSecret(t *testing.T) {
	t.Parallel()
	gw := newServer(t, nil)
	pass := func(*http.Request) bool { return false }
	at := func(text string) *http.Request {
		u, _ := url.Parse(text)
		return &http.Request{URL: u}
	}
	fromGateway := &http.Response{Request: at(gw.URL)}
	elsewhere := at(foreign(gw))
	elsewhere.Response = fromGateway
	otherHost := at(gw.URL)
	otherHost.Host = "evil.example"
	for _, tt := range []struct {
		name     string
		response *http.Response
		url      string
		filter   func(*http.Request) bool
	}{
		{"no request", &http.Response{}, gw.URL, pass},
		{"a request without a URL", &http.Response{Request: &http.Request{}}, gw.URL, pass},
		{"another Host", &http.Response{Request: otherHost}, gw.URL, nil},
		{"no Location", fromGateway, foreign(gw), pass},
		{"the gateway two hops before", &http.Response{Request: elsewhere}, foreign(gw), pass},
	} {
		opts := secretOptions()
		opts.BaseURL, opts.Filter = gw.URL+"/v1", tt.filter
		req := newRequest(t, t.Context(), "GET", tt.url, "")
		req.Response = tt.response
		ownHeaders(req.Header)
		req.Header["x-portkey-"] = []string{"own-" + secret} // the prefix alone
		resp, err := newTransport(t, nil, opts).RoundTrip(req)
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
			continue
		}
		resp.Body.Close()
		checkNoSecret(t, tt.name, gw.last(t))
	}
}
