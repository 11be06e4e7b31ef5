package portkey_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
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
}

func secretOptions() portkey.Options {
	return portkey.Options{Headers: portkey.Headers{
		APIKey: secret, Config: portkey.ConfigJSON(`{"retry":{"attempts":1},"api_key":"` + secret + `"}`),
		AWS: portkey.AWS{SecretAccessKey: secret}, Metadata: portkey.Metadata{"who": secret},
	}}
}

func checkNoSecret(t *testing.T, where string, got seen) {
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

func TestRedirectToAnotherOriginGetsNoSecret(t *testing.T) {
	t.Parallel()
	for _, status := range []int{301, 302, 303, 307, 308} {
		for _, other := range []string{"host", "port"} {
			for _, start := range []string{"gateway", "provider"} {
				name := fmt.Sprint(status, " to another ", other, " from the ", start)
				var gw *server
				elsewhere := newServer(t, nil)
				target := func() string {
					if other == "port" {
						return elsewhere.URL + "/v1/x"
					}
					return foreign(gw) + "/v1/x"
				}
				gw = newServer(t, redirectTo(status, map[string]func() string{"/v1/chat/completions": target}))
				if other == "host" {
					elsewhere = gw
				}
				c := newClient(t, gw, secretOptions())
				url := gw.URL + "/v1/chat/completions"
				if start == "provider" {
					url = openAIChat
				}

				// Without a body the redirect is followed, bare.
				req := newRequest(t, t.Context(), "GET", url, "")
				ownHeaders(req.Header)
				do(t, c, req)
				checkNoSecret(t, name, elsewhere.last(t))

				// With one, it is refused if the body would be sent again.
				n := len(elsewhere.all())
				req = newRequest(t, t.Context(), "POST", url, `{"prompt":"`+secret+`"}`)
				ownHeaders(req.Header)
				resp, err := c.Do(req)
				if status < 307 {
					if err != nil {
						t.Errorf("%s: %v", name, err)
						continue
					}
					resp.Body.Close()
					checkNoSecret(t, name, elsewhere.last(t))
					continue
				}
				var routeErr *portkey.RouteError
				if !errors.As(err, &routeErr) || !routeErr.Redirect {
					t.Errorf("%s: got %v, want a RouteError", name, err)
				}
				sent := elsewhere.all()[n:]
				if other == "host" { // the same server, which also saw the first hop
					sent = sent[1:]
				}
				if len(sent) > 0 {
					t.Errorf("%s: the body was sent: %v", name, sent)
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
	if len(all) != 4 {
		t.Fatalf("got %d hops, want 4", len(all))
	}
	if got := all[0].header.Get("X-Portkey-Api-Key"); got != secret {
		t.Errorf("first hop: got key %q, want it", got)
	}
	for _, hop := range all[1:] {
		checkNoSecret(t, hop.uri, hop)
	}
	if strayed == nil {
		t.Fatal("the last hop was not sent")
	}
	checkNoSecret(t, "api.openai.com", seen{header: strayed.Header})
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
			if url == "gateway" {
				url = gw.URL + "/base/v1/chat/completions"
			}
			ctx := portkey.WithTrace(t.Context(), "t1")
			do(t, newClient(t, gw, opts), newRequest(t, ctx, "POST", url, "{}"))
			got := gw.last(t)
			if got.uri != "/base/v1/next" || got.body != "{}" || got.header.Get("X-Portkey-Api-Key") != "pk" || got.header.Get("X-Portkey-Trace-Id") != "t1" {
				t.Errorf("%s from %s: got %+v, want the whole request at /base/v1/next", name, url, got)
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

	body := newCountingBody()
	post := newRequest(t, t.Context(), "POST", gw.URL, "")
	post.Body, post.Response = body, &http.Response{}
	var routeErr *portkey.RouteError
	if _, err := tr.RoundTrip(post); !errors.As(err, &routeErr) {
		t.Errorf("got %v, want a RouteError", err)
	}
	if body.closed.Load() != 1 {
		t.Error("the body was not closed")
	}
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
