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
	"net/http/httputil"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
	openai "github.com/sashabaranov/go-openai"
)

func TestRedirectToAnotherOriginCarriesNoSecret(t *testing.T) {
	t.Parallel()
	for name, origin := range map[string]string{
		"host": "http://evil.example", "port": "http://gw.corp.example:8080", "scheme": "https://gw.corp.example",
		"subdomain": "http://sub.gw.corp.example", "parent domain": "http://corp.example",
		"suffix": "http://gw.corp.example.evil.example", "prefix": "http://evil-gw.corp.example",
		"final dot": "http://gw.corp.example.", "gateway as user": "http://gw.corp.example@evil.example",
		"provider": "http://api.openai.com",
	} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprint(status, " to another ", name), func(t *testing.T) {
				t.Parallel()
				checkRedirectCarriesNoSecret(t, status, origin+"/away")
			})
		}
	}
}

// checkRedirectCarriesNoSecret makes calls that the gateway redirects to away,
// from where they are redirected back to the gateway.
func checkRedirectCarriesNoSecret(t *testing.T, status int, away string) {
	gateway, elsewhere, base := startRedirectingServers(t, status, away)
	opts := secretOptions()
	opts.BaseURL = "http://gw.corp.example/v1"
	filter := func(r *http.Request) bool {
		return r.URL.Hostname() == "gw.corp.example" || r.URL.Hostname() == "api.openai.com"
	}
	copyHeaders := func(req *http.Request, via []*http.Request) error {
		req.Header = via[0].Header.Clone()
		return nil
	}
	// How the client is set up around the Transport.
	setups := map[string]func(t *testing.T) *http.Client{
		"plain": func(t *testing.T) *http.Client {
			return &http.Client{Transport: newTransport(t, base, opts)}
		},
		"cookies": func(t *testing.T) *http.Client {
			jar, err := cookiejar.New(nil)
			if err != nil {
				t.Fatal(err)
			}
			return &http.Client{Transport: newTransport(t, base, opts), Jar: jar}
		},
		"CheckRedirect copies headers": func(t *testing.T) *http.Client {
			return &http.Client{Transport: newTransport(t, base, opts), CheckRedirect: copyHeaders}
		},
		"Response.Request restored": func(t *testing.T) *http.Client {
			return &http.Client{Transport: restoringTransport{newTransport(t, base, opts)}}
		},
		"Filter": func(t *testing.T) *http.Client {
			opts := opts
			opts.Filter = filter
			return &http.Client{Transport: newTransport(t, base, opts)}
		},
		"Filter, Response.Request restored, CheckRedirect copies headers": func(t *testing.T) *http.Client {
			opts := opts
			opts.Filter = filter
			return &http.Client{Transport: restoringTransport{newTransport(t, base, opts)}, CheckRedirect: copyHeaders}
		},
		"PassUnknownHosts": func(t *testing.T) *http.Client {
			opts := opts
			opts.PassUnknownHosts = true
			return &http.Client{Transport: restoringTransport{newTransport(t, base, opts)}}
		},
	}
	send := func(t *testing.T, c *http.Client, method, url, body string) error {
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
	calls := []struct {
		name string
		send func(t *testing.T, c *http.Client, baseURL string) error
	}{
		{"GET", func(t *testing.T, c *http.Client, baseURL string) error {
			return send(t, c, "GET", baseURL+"/models", "")
		}},
		{"GET with a key in the query", func(t *testing.T, c *http.Client, baseURL string) error {
			return send(t, c, "GET", baseURL+"/models?key="+secret, "")
		}},
		{"POST", func(t *testing.T, c *http.Client, baseURL string) error {
			return send(t, c, "POST", baseURL+"/chat/completions", `{"prompt":"`+secret+`"}`)
		}},
		{"go-openai ListModels", func(t *testing.T, c *http.Client, baseURL string) error {
			_, err := goOpenAI(c, baseURL).ListModels(t.Context())
			return err
		}},
		{"go-openai CreateChatCompletion", func(t *testing.T, c *http.Client, baseURL string) error {
			req := openai.ChatCompletionRequest{Model: secret}
			_, err := goOpenAI(c, baseURL).CreateChatCompletion(t.Context(), req)
			return err
		}},
	}
	for _, call := range calls {
		for target, baseURL := range map[string]string{
			"gateway": "http://gw.corp.example/v1", "provider": "https://api.openai.com/v1",
		} {
			for setup, newClient := range setups {
				t.Run(call.name+"/"+target+"/"+setup, func(t *testing.T) {
					nGateway, nElsewhere := len(gateway.all()), len(elsewhere.all())
					err := call.send(t, newClient(t), baseURL)
					atGateway, atElsewhere := gateway.all()[nGateway:], elsewhere.all()[nElsewhere:]
					if len(atGateway) == 0 || atGateway[0].header.Get("X-Portkey-Api-Key") != secret {
						t.Fatalf("got hops %v at the gateway and error %v, want the first with the key", atGateway, err)
					}
					for _, hop := range append(atGateway[1:], atElsewhere...) {
						checkNoSecret(t, hop.host, hop)
						if referer := hop.header.Get("Referer"); referer != "" {
							t.Errorf("%s received Referer %s", hop.host, referer)
						}
					}
					redirectCarriesBody := atGateway[0].body != "" && status >= 307
					if redirectCarriesBody || strings.Contains(away, "//api.openai.com/") { // around the gateway
						var routeErr *portkey.RouteError
						if !errors.As(err, &routeErr) || !routeErr.Redirect {
							t.Errorf("got %v, want a RouteError for a redirect", err)
						}
						if len(atGateway) != 1 || len(atElsewhere) != 0 {
							t.Errorf("got hops %v and %v, want only the first", atGateway, atElsewhere)
						}
						return
					}
					if err != nil || len(atElsewhere) != 1 || len(atGateway) != 2 || atGateway[1].uri != "/v1/back" {
						t.Errorf("got %v, hops %v and %v, want one hop elsewhere and one back",
							err, atElsewhere, atGateway[1:])
					}
				})
			}
		}
	}
}

// net/http removes the credential when a client that asked for a provider is redirected
// to the gateway's host.
func TestRedirectWithinTheGatewayKeepsTheCredential(t *testing.T) {
	t.Parallel()
	const azure = "https://res.openai.azure.com/openai/deployments/dep/chat/completions"
	type headers = map[string]string
	tests := []struct {
		name, url  string
		ctx        portkey.Headers
		send, want headers
	}{
		{"Authorization", openAIChat, portkey.Headers{}, headers{"Authorization": "Bearer own"}, headers{"Authorization": "Bearer own"}},
		{"X-Api-Key", "https://api.anthropic.com/v1/messages", portkey.Headers{}, headers{"X-Api-Key": "own"}, headers{"X-Api-Key": "own"}},
		{"Azure key", azure, portkey.Headers{}, headers{"Api-Key": "own"}, headers{"Authorization": "Bearer own"}},
		{"Entra token", azure, portkey.Headers{}, headers{"Authorization": "Bearer own"}, headers{"X-Portkey-Azure-Ad-Token": "own"}},
		{"Authorization in the context", openAIChat, portkey.Headers{Authorization: "Bearer tenant"}, headers{"Authorization": "Bearer own"}, headers{"Authorization": "Bearer tenant"}},
		{"none, because Portkey has it", openAIChat, portkey.Headers{VirtualKey: "vk"}, headers{"Authorization": "Bearer own"}, headers{}},
		{"forwarded", openAIChat, portkey.Headers{VirtualKey: "vk", ForwardHeaders: []string{"Authorization"}}, headers{"Authorization": "Bearer own"}, headers{"Authorization": "Bearer own"}},
	}
	for _, tt := range tests {
		for setup, wrap := range map[string]func(http.RoundTripper) http.RoundTripper{
			"plain":                     func(rt http.RoundTripper) http.RoundTripper { return rt },
			"Response.Request restored": func(rt http.RoundTripper) http.RoundTripper { return restoringTransport{rt} },
		} {
			t.Run(tt.name+"/"+setup, func(t *testing.T) {
				var gw *server
				location := func(path string) func() string { return func() string { return gw.URL + path } }
				gw = newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{
					"/v1/chat/completions": location("/v1/embeddings"), "/v1/messages": location("/v1/embeddings"),
					"/v1/embeddings": location("/v1/completions"),
				}))
				rt := newTransport(t, loopback, portkey.Options{BaseURL: gw.URL + "/v1", Headers: portkey.Headers{APIKey: "pk"}})
				req := newRequest(t, portkey.WithHeaders(t.Context(), tt.ctx), "POST", tt.url, "{}")
				for key, value := range tt.send {
					req.Header.Set(key, value)
				}
				do(t, &http.Client{Transport: wrap(rt)}, req)
				hops := gw.all()
				if len(hops) != 3 {
					t.Fatalf("got %d hops, want 3", len(hops))
				}
				for _, hop := range hops {
					if want, got := hops[0].header.Get("X-Portkey-Provider"), hop.header.Get("X-Portkey-Provider"); got != want {
						t.Errorf("%s: got provider %q, want %q", hop.uri, got, want)
					}
					got := headers{}
					for _, key := range []string{"Authorization", "Api-Key", "X-Api-Key", "X-Portkey-Azure-Ad-Token"} {
						if values, ok := hop.header[key]; ok {
							got[key] = strings.Join(values, " | ")
						}
					}
					if !reflect.DeepEqual(got, tt.want) {
						t.Errorf("%s: got %v, want %v", hop.uri, got, tt.want)
					}
				}
			})
		}
	}
}

// A chain that began at an unknown host is not the Transport's.
func TestRedirectOfAPassedOnRequest(t *testing.T) {
	t.Parallel()
	var first, second, gw *server
	second = newServer(t, nil)
	gw = newServer(t, nil)
	first = newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{
		"/elsewhere": func() string { return second.URL + "/x" }, "/gateway": func() string { return gw.URL + "/v1/x" },
		"/provider": func() string { return openAIChat }, "/provider-http": func() string { return "http://api.openai.com/v1/models" },
	}))
	client := func(t *testing.T) *http.Client {
		return newClient(t, gw, portkey.Options{PassUnknownHosts: true, Headers: portkey.Headers{APIKey: secret}})
	}
	for path, to := range map[string]*server{"/elsewhere": second, "/gateway": gw} {
		t.Run("to "+path[1:], func(t *testing.T) {
			req := newRequest(t, t.Context(), "POST", first.URL+path, "{}")
			req.Header.Set("X-Custom", "kept")
			req.Header.Set("X-Portkey-Api-Key", secret)
			do(t, client(t), req)
			got := to.last(t)
			checkNoSecret(t, path, got)
			if got.body != "{}" || got.header.Get("X-Custom") != "kept" {
				t.Errorf("got %+v, want the request unchanged", got)
			}
		})
	}
	for _, path := range []string{"/provider", "/provider-http"} {
		t.Run("to "+path[1:], func(t *testing.T) {
			if _, err := client(t).Do(newRequest(t, t.Context(), "GET", first.URL+path, "")); !errors.As(err, new(*portkey.RouteError)) {
				t.Errorf("got %v, want a RouteError", err)
			}
		})
	}
}

// startRedirectingServers starts a gateway, http://gw.corp.example, that
// redirects calls to away, and a server for all other hosts that redirects /away
// back to the gateway. The base resolves every host to one of them.
func startRedirectingServers(t *testing.T, status int, away string) (gateway, elsewhere *server, base *http.Transport) {
	t.Helper()
	toAway := func() string { return away }
	redirect := redirectTo(status, map[string]func() string{"/v1/chat/completions": toAway, "/v1/models": toAway})
	gateway = newServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: secret, Path: "/"})
		redirect(w, r)
		io.WriteString(w, "{}")
	})
	back := func() string { return "http://gw.corp.example/v1/back" }
	elsewhere = newServer(t, redirectTo(status, map[string]func() string{"/away": back}))
	elsewhereTLS := httptest.NewTLSServer(elsewhere.Config.Handler)
	t.Cleanup(elsewhereTLS.Close)
	base = &http.Transport{
		DialContext: func(ctx context.Context, network, hostPort string) (net.Conn, error) {
			addr := elsewhere.Listener.Addr()
			switch {
			case hostPort == "gw.corp.example:80":
				addr = gateway.Listener.Addr()
			case strings.HasSuffix(hostPort, ":443"):
				addr = elsewhereTLS.Listener.Addr()
			}
			return new(net.Dialer).DialContext(ctx, network, addr.String())
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	t.Cleanup(base.CloseIdleConnections)
	return gateway, elsewhere, base
}

func TestRedirectBackToTheGatewayCarriesNoSecret(t *testing.T) {
	t.Parallel()
	var gw *server
	gw = newServer(t, func(w http.ResponseWriter, r *http.Request) {
		hops := map[string]string{
			"/v1/start": foreign(gw) + "/away", "/away": gw.URL + "/back", "/back": gw.URL + "/v1/further",
			"/v1/further": openAIChat,
		}
		if to := hops[r.URL.Path]; to != "" {
			http.Redirect(w, r, to, http.StatusFound)
		}
	})
	base := &recorder{respond: loopback.RoundTrip}
	opts := secretOptions()
	opts.BaseURL = gw.URL + "/v1"
	c := &http.Client{Transport: newTransport(t, base, opts)}
	req := newRequest(t, t.Context(), "GET", gw.URL+"/v1/start", "")
	ownHeaders(req.Header)
	// A provider's URL is not rerouted after the redirects have left the gateway, and is
	// not called around the gateway.
	if _, err := c.Do(req); !errors.As(err, new(*portkey.RouteError)) {
		t.Errorf("got %v, want a RouteError for the hop to the provider", err)
	}
	hops := gw.all()
	if got := hops[0].header.Get("X-Portkey-Api-Key"); got != secret {
		t.Errorf("got key %q in the first hop, want %q", got, secret)
	}
	for _, hop := range hops[1:] {
		checkNoSecret(t, hop.uri, hop)
	}
	if len(hops) != 4 {
		t.Errorf("got %d hops to the gateway's server, want 4", len(hops))
	}
	if last := base.last(t); last.URL.Host == "api.openai.com" {
		t.Errorf("got a request to %v, want none", last.URL)
	}
}

func TestRedirectWithinTheGatewayKeepsHeadersAndBody(t *testing.T) {
	t.Parallel()
	const gatewayChat = "GATEWAY/base/v1/chat/completions"
	for _, tt := range []struct{ name, url, location, wantProvider string }{
		{"from provider to absolute URL", openAIChat, "GATEWAY/base/v1/next", "openai"},
		{"from provider to absolute path", openAIChat, "/base/v1/next", "openai"},
		{"from provider to relative path", openAIChat, "../next", "openai"},
		{"from provider to provider", openAIChat, "https://api.openai.com/v1/next", "openai"},
		{"from gateway to absolute URL", gatewayChat, "GATEWAY/base/v1/next", ""},
		{"from gateway to absolute path", gatewayChat, "/base/v1/next", ""},
		{"from gateway to relative path", gatewayChat, "../next", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var gw *server
			location := func() string { return strings.Replace(tt.location, "GATEWAY", gw.URL, 1) }
			gw = newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{
				"/base/v1/chat/completions": location,
			}))
			c := newClient(t, gw, portkey.Options{BaseURL: gw.URL + "/base/v1", Headers: portkey.Headers{APIKey: "pk"}})
			do(t, c, newRequest(t, t.Context(), "POST", strings.Replace(tt.url, "GATEWAY", gw.URL, 1), "{}"))
			first, last := gw.all()[0], gw.last(t)
			if last.uri != "/base/v1/next" || last.body != "{}" || last.header.Get("X-Portkey-Api-Key") != "pk" {
				t.Errorf("got %+v, want key and body at /base/v1/next", last)
			}
			if got := last.header.Get("X-Portkey-Provider"); got != tt.wantProvider {
				t.Errorf("got provider %q, want %q", got, tt.wantProvider)
			}
			got, want := last.header.Get("X-Portkey-Trace-Id"), first.header.Get("X-Portkey-Trace-Id")
			if got != want || got == "" {
				t.Errorf("got trace %q, want %q as in the first hop", got, want)
			}
		})
	}
}

// A history is broken if a Response in it has no Request.
func TestRedirectWithBrokenHistoryCarriesNoSecret(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, method string
		body         io.ReadCloser
	}{
		{"GET", "GET", nil},
		{"empty POST", "POST", http.NoBody},
	} {
		t.Run(tt.name, func(t *testing.T) {
			base := new(recorder)
			tr := newTransport(t, base, portkey.Options{
				BaseURL: "http://gw.example", Headers: portkey.Headers{APIKey: secret},
			})
			req := newRequest(t, t.Context(), tt.method, "http://gw.example", "")
			req.Body, req.Response = tt.body, &http.Response{}
			if _, err := tr.RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			checkNoSecret(t, "gateway", receivedRequest{header: base.last(t).Header})
		})
	}
}

func TestRedirectWithBrokenHistoryAndBodyIsRefused(t *testing.T) {
	t.Parallel()
	for name, filter := range map[string]func(*http.Request) bool{
		"no Filter":        nil,
		"excluding Filter": func(*http.Request) bool { return false },
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example", Filter: filter})
			body := newCountingBody()
			req := newRequest(t, t.Context(), "POST", "http://gw.example", "")
			req.Body, req.Response = body, &http.Response{}
			if _, err := tr.RoundTrip(req); !errors.As(err, new(*portkey.RouteError)) {
				t.Errorf("got %v, want a RouteError", err)
			}
			if got := body.closed.Load(); got != 1 {
				t.Errorf("got body closed %d times, want 1", got)
			}
		})
	}
}

// A base that reuses a Response can make the history a cycle.
func TestRedirectWithEndlessHistoryIsRefused(t *testing.T) {
	t.Parallel()
	for _, url := range []string{"http://gw.example", openAIChat, "http://elsewhere.example"} {
		t.Run(url, func(t *testing.T) {
			tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example", Headers: portkey.Headers{APIKey: secret}})
			req := newRequest(t, t.Context(), "GET", url, "")
			req.Response = &http.Response{Request: req}
			if _, err := tr.RoundTrip(req); !errors.As(err, new(*portkey.RouteError)) {
				t.Errorf("got %v, want a RouteError", err)
			}
		})
	}
}

func TestRedirectWithEarlierHopElsewhereCarriesNoSecret(t *testing.T) {
	t.Parallel()
	const gateway, elsewhere = "http://gw.example/v1", "http://elsewhere.example"
	exclude := func(*http.Request) bool { return false }
	hop := func(text string) *http.Request {
		u, err := url.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Request{URL: u}
	}
	fromGateway := &http.Response{Request: hop(gateway)}
	afterGateway := hop(elsewhere)
	afterGateway.Response = fromGateway
	otherHost := hop(gateway)
	otherHost.Host = "evil.example"
	opaque := hop(gateway)
	opaque.URL.Opaque = "//evil.example/x"
	for _, tt := range []struct {
		name     string
		response *http.Response
		url      string
		filter   func(*http.Request) bool
	}{
		{"hop unknown", &http.Response{}, gateway, exclude},
		{"hop without a URL", &http.Response{Request: &http.Request{}}, gateway, exclude},
		{"hop with another Host", &http.Response{Request: otherHost}, gateway, nil},
		{"hop with an opaque URL", &http.Response{Request: opaque}, gateway, nil},
		{"hop at the gateway", fromGateway, elsewhere, exclude},
		{"hops at the gateway and elsewhere", &http.Response{Request: afterGateway}, elsewhere, exclude},
	} {
		t.Run(tt.name, func(t *testing.T) {
			opts := secretOptions()
			opts.BaseURL, opts.Filter = gateway, tt.filter
			base := new(recorder)
			req := newRequest(t, t.Context(), "GET", tt.url, "")
			req.Response = tt.response
			ownHeaders(req.Header)
			req.Header["x-portkey-"] = []string{"own-" + secret} // only the prefix
			if _, err := newTransport(t, base, opts).RoundTrip(req); err != nil {
				t.Fatal(err)
			}
			checkNoSecret(t, tt.url, receivedRequest{header: base.last(t).Header})
		})
	}
}

func TestRedirectToLookalikeOriginCarriesNoSecret(t *testing.T) {
	t.Parallel()
	const gateway = "http://gw.micorp.example/v1"
	for _, location := range []string{
		"http://gw.m\u0130corp.example/x", // strings.ToLower returns the gateway's host for it, DNS does not
		"http://gw.micorp.example.evil.example/x",
		"http://evil.gw.micorp.example/x",
		"http://gw.micorp.example:8080/x",
		"https://gw.micorp.example/x",
		"http://gw.micorp.example./x",
	} {
		for method, body := range map[string]string{"GET": "", "POST": "{}"} {
			t.Run(method+" "+location, func(t *testing.T) {
				base := &recorder{respond: func(r *http.Request) (*http.Response, error) {
					resp := &http.Response{StatusCode: http.StatusOK, Body: http.NoBody, Request: r}
					if r.URL.Path == "/v1/chat/completions" {
						resp.StatusCode = http.StatusTemporaryRedirect
						resp.Header = http.Header{"Location": {location}}
					}
					return resp, nil
				}}
				opts := portkey.Options{BaseURL: gateway, Headers: portkey.Headers{APIKey: secret}}
				c := &http.Client{Transport: newTransport(t, base, opts)}
				resp, err := c.Do(newRequest(t, t.Context(), method, openAIChat, body))
				if body != "" {
					if n := len(base.all()); n != 1 || !errors.As(err, new(*portkey.RouteError)) {
						t.Errorf("got %v after %d hops, want a RouteError after 1", err, n)
					}
					return
				}
				if strings.Contains(location, "\u0130") { // may be a provider's host
					if !errors.As(err, new(*portkey.RouteError)) {
						t.Errorf("got %v, want a RouteError", err)
					}
					return
				}
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if n := len(base.all()); n != 2 {
					t.Errorf("got %d hops, want 2", n)
				}
				checkNoSecret(t, location, receivedRequest{header: base.last(t).Header})
			})
		}
	}
}

func TestCheckRedirectMayChangeTheURL(t *testing.T) {
	t.Parallel()
	next := func() string { return "/v1/next" }
	gw := newServer(t, redirectTo(http.StatusFound, map[string]func() string{"/v1/start": next}))
	c := newClient(t, gw, portkey.Options{})
	c.CheckRedirect = func(req *http.Request, _ []*http.Request) error {
		req.URL.Path = "/v1/changed"
		return nil
	}
	do(t, c, newRequest(t, t.Context(), "GET", "https://api.openai.com/v1/start", ""))
	if got := gw.last(t).uri; got != "/v1/changed" {
		t.Errorf("got request URI %s, want /v1/changed", got)
	}
}

func TestRedirectOfAFilteredRequestIsPassedThrough(t *testing.T) {
	t.Parallel()
	gw := newServer(t, nil)
	second := newServer(t, nil)
	location := func() string { return second.URL + "/y" }
	first := newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{"/x": location}))
	c := newClient(t, gw, portkey.Options{
		Headers: portkey.Headers{APIKey: secret},
		Filter:  func(r *http.Request) bool { return "http://"+r.URL.Host != first.URL },
	})
	do(t, c, newRequest(t, t.Context(), "POST", first.URL+"/x", "{}"))
	got := second.last(t)
	if got.body != "{}" || got.uri != "/y" {
		t.Errorf("got %+v, want the body at /y", got)
	}
	checkNoSecret(t, "second hop", got)
}

func TestRedirectOfAFilteredRequestToTheGatewayCarriesNoSecret(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		status    int
		reqHeader http.Header
	}{
		{"key in Options", http.StatusFound, nil},
		{"key in Options and on the request", http.StatusTemporaryRedirect, http.Header{"X-Portkey-Api-Key": {secret}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw := newServer(t, nil)
			location := func() string { return gw.URL + "/v1/y" }
			elsewhere := newServer(t, redirectTo(tt.status, map[string]func() string{"/x": location}))
			c := newClient(t, gw, portkey.Options{
				Headers: portkey.Headers{APIKey: secret},
				Filter:  func(r *http.Request) bool { return "http://"+r.URL.Host != elsewhere.URL },
			})
			req := newRequest(t, t.Context(), "GET", elsewhere.URL+"/x", "")
			maps.Copy(req.Header, tt.reqHeader)
			do(t, c, req)
			checkNoSecret(t, "gateway", gw.last(t))
		})
	}
}

func TestFilterIsNotCalledForARedirectFromTheGateway(t *testing.T) {
	t.Parallel()
	var gw *server
	location := func() string { return foreign(gw) + "/x" }
	gw = newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{
		"/v1/chat/completions": location,
	}))
	c := newClient(t, gw, portkey.Options{Filter: func(r *http.Request) bool { return r.URL.Host == "api.openai.com" }})
	_, err := c.Do(newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	if !errors.As(err, new(*portkey.RouteError)) {
		t.Errorf("got %v, want a RouteError", err)
	}
	if n := len(gw.all()); n != 1 {
		t.Errorf("got %d requests, want 1", n)
	}
}

func TestResponseInfoIgnoresResponsesOfOtherOrigins(t *testing.T) {
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

func TestRedirectElsewhereWithoutABodyIsFollowed(t *testing.T) {
	t.Parallel()
	for _, method := range []string{"GET", "HEAD", "DELETE", "POST"} {
		for name, body := range map[string]io.ReadCloser{"nil body": nil, "http.NoBody": http.NoBody} {
			t.Run(method+" with "+name, func(t *testing.T) {
				var gw *server
				location := func() string { return foreign(gw) + "/y" }
				gw = newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{"/v1/x": location}))
				req := newRequest(t, t.Context(), method, gw.URL+"/v1/x", "")
				req.Body = body
				if body != nil {
					req.GetBody = func() (io.ReadCloser, error) { return http.NoBody, nil }
				}
				do(t, newClient(t, gw, secretOptions()), req)
				got := gw.last(t)
				if got.uri != "/y" || got.method != method {
					t.Errorf("got last hop %s %s, want %s /y", got.method, got.uri, method)
				}
				checkNoSecret(t, "last hop", got)
			})
		}
	}
}

func TestRedirectOverHTTP2CarriesNoSecret(t *testing.T) {
	t.Parallel()
	var protocols []string
	elsewhere := newServer(t, nil)
	gateway := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocols = append(protocols, r.Proto)
		http.Redirect(w, r, elsewhere.URL+"/away", http.StatusFound)
	}))
	gateway.EnableHTTP2 = true
	gateway.StartTLS()
	t.Cleanup(gateway.Close)
	opts := secretOptions()
	opts.BaseURL = gateway.URL + "/v1"
	c := &http.Client{Transport: restoringTransport{newTransport(t, gateway.Client().Transport, opts)}}
	req := newRequest(t, t.Context(), "GET", "https://api.openai.com/v1/models?key="+secret, "")
	ownHeaders(req.Header)
	do(t, c, req)
	checkNoSecret(t, "elsewhere", elsewhere.last(t))
	if len(protocols) != 1 || protocols[0] != "HTTP/2.0" {
		t.Errorf("got %v at the gateway, want one request by HTTP/2.0", protocols)
	}
}

func TestRedirectThatLeftTheGatewayCarriesOnlyHarmlessHeaders(t *testing.T) {
	t.Parallel()
	elsewhere := newServer(t, nil)
	away := func() string { return elsewhere.URL + "/away" }
	gw := newServer(t, redirectTo(http.StatusFound, map[string]func() string{"/v1/models": away}))
	req := newRequest(t, t.Context(), "GET", "https://api.openai.com/v1/models", "")
	want := http.Header{
		"Accept": {"a"}, "Accept-Encoding": {"identity"}, "Accept-Language": {"en"}, "Cache-Control": {"no-cache"},
		"If-None-Match": {"e"}, "Range": {"bytes=0-1"}, "User-Agent": {"u"},
	}
	maps.Copy(req.Header, want)
	ownHeaders(req.Header)
	do(t, newClient(t, gw, secretOptions()), req)
	if got := elsewhere.last(t).header; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

// SECURITY.md lists these limits: a RoundTripper outside the Transport can make a redirect
// of the gateway look like a request that the Transport passes on.
func TestOuterRoundTripperCanHideARedirectOnlyIfRequestsMayPass(t *testing.T) {
	t.Parallel()
	const alias = "https://llm.internal/v1/chat/completions"
	elsewhere := newServer(t, nil)
	away := func() string { return elsewhere.URL + "/away" }
	gw := newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{"/v1/chat/completions": away}))
	toURL := func(t *testing.T, req *http.Request, to string) *http.Request {
		u, err := url.Parse(to)
		if err != nil {
			t.Fatal(err)
		}
		out := req.Clone(req.Context())
		out.URL, out.Host = u, u.Host
		return out
	}
	outers := map[string]func(*testing.T, http.RoundTripper) roundTripperFunc{
		"rewrites the host and restores it": func(t *testing.T, rt http.RoundTripper) roundTripperFunc {
			return func(req *http.Request) (*http.Response, error) {
				out := req
				if req.URL.String() == alias {
					out = toURL(t, req, openAIChat)
				}
				resp, err := rt.RoundTrip(out)
				if resp != nil {
					resp.Request = req
				}
				return resp, err
			}
		},
		"follows redirects itself": func(t *testing.T, rt http.RoundTripper) roundTripperFunc {
			return func(req *http.Request) (*http.Response, error) {
				resp, err := rt.RoundTrip(toURL(t, req, openAIChat))
				if err != nil {
					return nil, err
				}
				resp.Body.Close()
				next := toURL(t, req, resp.Header.Get("Location"))
				next.Body, err = req.GetBody()
				if err != nil {
					return nil, err
				}
				return rt.RoundTrip(next)
			}
		},
	}
	setups := map[string]struct {
		opts   portkey.Options
		passes bool
	}{
		"plain":            {portkey.Options{}, false},
		"PassUnknownHosts": {portkey.Options{PassUnknownHosts: true}, true},
		"Filter": {portkey.Options{
			Filter: func(r *http.Request) bool { return r.URL.Host == "api.openai.com" },
		}, true},
	}
	for outer, wrap := range outers {
		for setup, tt := range setups {
			t.Run(outer+"/"+setup, func(t *testing.T) {
				n := len(elsewhere.all())
				tt.opts.BaseURL, tt.opts.Headers.APIKey = gw.URL+"/v1", secret
				c := &http.Client{Transport: wrap(t, newTransport(t, nil, tt.opts))}
				resp, err := c.Do(newRequest(t, t.Context(), "POST", alias, "{}"))
				if err == nil {
					resp.Body.Close()
				}
				hops := elsewhere.all()[n:]
				if !tt.passes {
					if !errors.As(err, new(*portkey.RouteError)) || len(hops) > 0 {
						t.Errorf("got %v and hops %v elsewhere, want a RouteError", err, hops)
					}
					return
				}
				if err != nil || len(hops) != 1 || hops[0].body != "{}" {
					t.Fatalf("got %v and hops %v elsewhere, want one with the body: correct SECURITY.md", err, hops)
				}
				checkNoSecret(t, "elsewhere", hops[0])
			})
		}
	}
}

// A ReverseProxy does not follow redirects: it returns them to the client outside.
func TestReverseProxyReturnsTheGatewaysRedirect(t *testing.T) {
	t.Parallel()
	elsewhere := newServer(t, nil)
	gw := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/away", http.StatusTemporaryRedirect)
	})
	opts := secretOptions()
	opts.BaseURL, opts.IgnoreRequestHeaders = gw.URL+"/v1", true
	provider, err := url.Parse("https://api.openai.com")
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Transport: newTransport(t, nil, opts),
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(provider) },
	})
	t.Cleanup(proxy.Close)
	resp, body := do(t, &http.Client{}, newRequest(t, t.Context(), "POST", proxy.URL+"/v1/chat/completions", "{}"))
	if resp.StatusCode != http.StatusOK {
		t.Errorf("got status %d, want 200 from elsewhere", resp.StatusCode)
	}
	if text := fmt.Sprint(resp.Header, body); strings.Contains(text, secret) {
		t.Errorf("the response shows a secret: %s", text)
	}
	checkNoSecret(t, "elsewhere", elsewhere.last(t))
	if got := gw.last(t); got.uri != "/v1/chat/completions" || got.header.Get("X-Portkey-Api-Key") != secret {
		t.Errorf("got %+v at the gateway, want the call with the key", got)
	}
}

func TestReverseProxyMayHaveRetries(t *testing.T) {
	t.Parallel()
	gw := newServer(t, nil)
	provider, err := url.Parse("https://api.openai.com")
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{
		Transport: newTransport(t, portkey.NewRetryTransport(nil), portkey.Options{BaseURL: gw.URL}),
		Rewrite:   func(r *httputil.ProxyRequest) { r.SetURL(provider) },
	})
	t.Cleanup(proxy.Close)
	resp, _ := do(t, &http.Client{}, newRequest(t, t.Context(), "POST", proxy.URL+"/v1/chat/completions", "{}"))
	if n := len(gw.all()); resp.StatusCode != http.StatusOK || n != 1 {
		t.Errorf("got status %d and %d requests, want 200 and 1", resp.StatusCode, n)
	}
}

func TestSingleHostReverseProxyErrorNamesTheHostHeader(t *testing.T) {
	t.Parallel()
	gw := newServer(t, nil)
	provider, err := url.Parse("https://api.openai.com")
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.NewSingleHostReverseProxy(provider)
	proxy.Transport = newTransport(t, nil, portkey.Options{BaseURL: gw.URL})
	var got error
	proxy.ErrorHandler = func(_ http.ResponseWriter, _ *http.Request, err error) { got = err }
	server := httptest.NewServer(proxy)
	t.Cleanup(server.Close)
	do(t, &http.Client{}, newRequest(t, t.Context(), "POST", server.URL+"/v1/chat/completions", "{}"))
	if !errors.As(got, new(*portkey.RouteError)) || !strings.Contains(got.Error(), "Host header") {
		t.Errorf("got %v, want a RouteError that names the Host header", got)
	}
}

// A chain counts as passed on only if the Transport would have passed on its first
// request, as Response.Request shows it.
func TestRedirectOfARequestThatWouldHaveBeenRefusedIsRefused(t *testing.T) {
	t.Parallel()
	elsewhere := newServer(t, nil)
	gw := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, elsewhere.URL+"/away", http.StatusTemporaryRedirect)
	})
	for name, opts := range map[string]portkey.Options{
		"Filter":           {Filter: func(r *http.Request) bool { return r.URL.Host != "auth.example" }},
		"PassUnknownHosts": {PassUnknownHosts: true},
	} {
		for alias, url := range map[string]string{
			"userinfo": "https://user@api.anthropic.com/v1/messages", "scheme": "http://api.anthropic.com/v1/messages",
			"unknown host": "http://llm.internal/v1/messages",
		} {
			if name == "PassUnknownHosts" && alias == "unknown host" {
				continue // SECURITY.md: what an outer RoundTripper can still do
			}
			t.Run(name+"/"+alias, func(t *testing.T) {
				opts.BaseURL = gw.URL
				inner := newTransport(t, loopback, opts)
				outer := roundTripperFunc(func(r *http.Request) (*http.Response, error) {
					out := r
					if r.Response == nil {
						out = r.Clone(r.Context())
						out.URL.Scheme, out.URL.Host, out.URL.User, out.Host = "https", "api.anthropic.com", nil, ""
					}
					resp, err := inner.RoundTrip(out)
					if resp != nil {
						resp.Request = r
					}
					return resp, err
				})
				req := newRequest(t, t.Context(), "POST", url, "{}")
				req.Header.Set("X-Api-Key", secret)
				if _, err := (&http.Client{Transport: outer}).Do(req); !errors.As(err, new(*portkey.RouteError)) {
					t.Errorf("got %v, want a RouteError", err)
				}
			})
		}
	}
	if n := len(elsewhere.all()); n != 0 {
		t.Errorf("got %d requests elsewhere, want 0", n)
	}
}

func TestRedirectFromTheGatewaysURLToAProviderIsRefused(t *testing.T) {
	t.Parallel()
	gw := newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{"/v1/x": func() string { return openAIChat }}))
	req := newRequest(t, t.Context(), "POST", gw.URL+"/v1/x", "{}")
	req.Header.Set("Authorization", "Bearer "+secret)
	if _, err := newClient(t, gw, portkey.Options{}).Do(req); !errors.As(err, new(*portkey.RouteError)) {
		t.Errorf("got %v, want a RouteError", err)
	}
}

func TestRedirectToAnotherProviderIsRefused(t *testing.T) {
	t.Parallel()
	for name, location := range map[string]string{
		"provider": "https://api.anthropic.com/v1/messages", "custom host": "https://eu.llm.example/v1/chat/completions",
		"default host": openAIChat,
	} {
		for setup, wrap := range map[string]func(http.RoundTripper) http.RoundTripper{
			"plain":                     func(rt http.RoundTripper) http.RoundTripper { return rt },
			"Response.Request restored": func(rt http.RoundTripper) http.RoundTripper { return restoringTransport{rt} },
		} {
			t.Run(name+"/"+setup, func(t *testing.T) {
				gw := newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{
					"/v1/chat/completions": func() string { return location },
				}))
				rt := newTransport(t, loopback, portkey.Options{BaseURL: gw.URL, Upstreams: []portkey.Upstream{
					{BaseURL: "https://us.llm.example/v1", Provider: "openai"}, {BaseURL: "https://eu.llm.example/v1", Provider: "openai"},
				}})
				req := newRequest(t, t.Context(), "POST", "https://us.llm.example/v1/chat/completions", "{}")
				req.Header.Set("Authorization", "Bearer "+secret)
				if _, err := (&http.Client{Transport: wrap(rt)}).Do(req); !errors.As(err, new(*portkey.RouteError)) {
					t.Errorf("got %v, want a RouteError", err)
				}
			})
		}
	}
}

func TestRedirectToTheSameProviderIsFollowed(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]portkey.Headers{
		"URL's provider": {}, "saved provider": {Provider: "@a"}, "another provider": {Provider: "groq"}, "virtual key": {VirtualKey: "vk"},
		"config slug": {Config: portkey.ConfigSlug("pc-1")}, "custom host": {CustomHost: "https://llm.example/v1"},
	} {
		for setup, wrap := range map[string]func(http.RoundTripper) http.RoundTripper{
			"plain":                     func(rt http.RoundTripper) http.RoundTripper { return rt },
			"Response.Request restored": func(rt http.RoundTripper) http.RoundTripper { return restoringTransport{rt} },
		} {
			t.Run(name+"/"+setup, func(t *testing.T) {
				gw := newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{
					"/v1/chat/completions": func() string { return openAIChat + "/" },
				}))
				rt := wrap(newTransport(t, loopback, portkey.Options{BaseURL: gw.URL, NewTraceID: noTrace}))
				do(t, &http.Client{Transport: rt}, newRequest(t, portkey.WithHeaders(t.Context(), h), "POST", openAIChat, "{}"))
				requests := gw.all()
				if len(requests) != 2 {
					t.Fatalf("got %d requests, want 2", len(requests))
				}
				if first, second := requests[0].portkeyHeaders(), requests[1].portkeyHeaders(); !reflect.DeepEqual(first, second) {
					t.Errorf("got %v after the redirect, want %v", second, first)
				}
			})
		}
	}
}

func TestRedirectOfAFilteredRequestToAProviderIsRefused(t *testing.T) {
	t.Parallel()
	first := newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{"/x": func() string { return openAIChat }}))
	gw := newServer(t, nil)
	c := newClient(t, gw, portkey.Options{Filter: func(r *http.Request) bool { return r.URL.Host == "api.openai.com" }})
	if _, err := c.Do(newRequest(t, t.Context(), "POST", first.URL+"/x", "{}")); !errors.As(err, new(*portkey.RouteError)) {
		t.Errorf("got %v, want a RouteError", err)
	}
}

// The Location is relative to the gateway's URL, whatever Response.Request is.
func TestRelativeRedirectStaysAtTheGateway(t *testing.T) {
	t.Parallel()
	gw := newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{"/v1/models": func() string { return "/v1/other" }}))
	rt := restoringTransport{newTransport(t, loopback, portkey.Options{BaseURL: gw.URL})}
	do(t, &http.Client{Transport: rt}, newRequest(t, t.Context(), "GET", "https://api.groq.com/openai/v1/models", ""))
	if got := gw.last(t); got.uri != "/v1/other" || got.header.Get("X-Portkey-Provider") != "groq" {
		t.Errorf("got %+v, want /v1/other for groq", got)
	}
}

func TestRedirectWithinTheGatewayCarriesNoReferer(t *testing.T) {
	t.Parallel()
	gw := newServer(t, redirectTo(http.StatusFound, map[string]func() string{"/v1/models": func() string { return "/v1/other" }}))
	do(t, newClient(t, gw, portkey.Options{}), newRequest(t, t.Context(), "GET", gw.URL+"/v1/models?key="+secret, ""))
	if got := gw.last(t); got.uri != "/v1/other" || got.header.Get("Referer") != "" {
		t.Errorf("got %+v, want /v1/other without Referer", got)
	}
}

func TestIgnoredHeadersAreNotInheritedByARedirect(t *testing.T) {
	t.Parallel()
	gw := newServer(t, redirectTo(http.StatusTemporaryRedirect, map[string]func() string{"/v1/chat/completions": func() string { return "/v1/second" }}))
	rt := restoringTransport{newTransport(t, loopback, portkey.Options{BaseURL: gw.URL, IgnoreRequestHeaders: true, NewTraceID: noTrace})}
	req := newRequest(t, t.Context(), "POST", gw.URL+"/v1/chat/completions", "{}")
	req.Header = http.Header{"X-Portkey-Provider": {"openai"}, "X-Portkey-Custom-Host": {"https://evil.example/v1"}, "X-Portkey-Trace-Id": {"outside"}}
	if _, err := (&http.Client{Transport: rt}).Do(req); !errors.As(err, new(*portkey.RouteError)) {
		t.Errorf("got %v, want a RouteError", err)
	}
	for _, hop := range gw.all() {
		if h := hop.portkeyHeaders(); len(h) > 0 {
			t.Errorf("%s: got %v, want none", hop.uri, h)
		}
	}
}
