package interop

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/anthropics/anthropic-sdk-go"
	"github.com/hashicorp/go-retryablehttp"
	"github.com/portkey-go/portkey"
)

// The gateway is one that sends calls away, and the place that it names sends them
// back. What other people's clients do then, and the retrying ones among them, must
// take no key and no prompt along.

const leak = "must-not-leak" // in all that is the gateway's alone

// stacks are what an http.Client may be made of, around the Transport and below.
var stacks = map[string]func(t *testing.T, base http.RoundTripper, opts portkey.Options) *http.Client{
	"plain": func(t *testing.T, base http.RoundTripper, opts portkey.Options) *http.Client {
		return &http.Client{Transport: newTransport(base, opts)}
	},
	"cookie jar, retries inside": func(t *testing.T, base http.RoundTripper, opts portkey.Options) *http.Client {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Client{Transport: newTransport(portkey.NewRetryTransport(base), opts), Jar: jar}
	},
	"retries outside": func(t *testing.T, base http.RoundTripper, opts portkey.Options) *http.Client {
		retrying := retryablehttp.NewClient()
		retrying.HTTPClient.Transport = newTransport(base, opts)
		retrying.RetryMax, retrying.RetryWaitMin, retrying.RetryWaitMax, retrying.Logger = 1, time.Millisecond, time.Millisecond, nil
		return retrying.StandardClient()
	},
}

func TestRedirectedClientsTakeNothingAlong(t *testing.T) {
	t.Parallel()
	calls := map[string]func(context.Context, *http.Client) error{
		"openai-go, models": func(ctx context.Context, c *http.Client) error {
			cl := responsesClient(c)
			_, err := cl.Models.List(ctx)
			return err
		},
		"anthropic-sdk-go, models": func(ctx context.Context, c *http.Client) error {
			cl := anthropic.NewClient(withAnthropicKey(ctx, c)...)
			_, err := cl.Models.List(ctx, anthropic.ModelListParams{})
			return err
		},
	}
	for _, cl := range clients {
		calls[cl.name] = func(ctx context.Context, c *http.Client) error {
			_, err := cl.chat(ctx, c)
			return err
		}
	}
	for what, origin := range map[string]string{
		"host": "http://evil.example", "port": "http://gw.example:8080", "scheme": "https://gw.example",
		"subdomain": "http://sub.gw.example", "suffix": "http://gw.example.evil.example", "provider": "https://api.openai.com",
	} {
		for _, status := range []int{301, 302, 303, 307, 308} {
			t.Run(fmt.Sprint(status, " to another ", what), func(t *testing.T) {
				t.Parallel()
				followed := 0 // openai-go has a check of its own, which stops it before ours
				for name, call := range calls {
					for stack, connect := range stacks {
						if redirected(t, name+", "+stack, status, origin, call, connect) {
							followed++
						}
					}
				}
				// A provider must not be called around the gateway.
				if wantFollowed := what != "provider"; wantFollowed != (followed > 0) {
					t.Errorf("%d clients followed the redirect, want some: %t", followed, wantFollowed)
				}
			})
		}
	}
}

// redirected reports whether the client went where it was sent.
func redirected(t *testing.T, name string, status int, origin string,
	call func(context.Context, *http.Client) error, connect func(*testing.T, http.RoundTripper, portkey.Options) *http.Client) bool {
	redirect := func(to string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			http.SetCookie(w, &http.Cookie{Name: "session", Value: leak, Path: "/"})
			w.Header().Set("Location", to)
			w.WriteHeader(status)
		}
	}
	gw := newUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/back" {
			redirect(origin+"/away")(w, r)
		}
	})
	elsewhere := newUpstream(t, redirect("http://gw.example/v1/back"))
	secure := httptest.NewTLSServer(elsewhere.Config.Handler)
	t.Cleanup(secure.Close)
	base := &http.Transport{
		DialContext: func(ctx context.Context, network, hostPort string) (net.Conn, error) {
			to := elsewhere.Listener.Addr().String()
			switch {
			case hostPort == "gw.example:80":
				to = gw.Listener.Addr().String()
			case strings.HasSuffix(hostPort, ":443"):
				to = secure.Listener.Addr().String()
			}
			return new(net.Dialer).DialContext(ctx, network, to)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}
	t.Cleanup(base.CloseIdleConnections)

	err := call(bounded(t), connect(t, base, portkey.Options{BaseURL: "http://gw.example/v1", Headers: portkey.Headers{
		APIKey: leak, Authorization: "Bearer " + leak, Metadata: portkey.Metadata{"who": leak},
	}}))
	atGateway, away := gw.requests(), elsewhere.requests()
	if len(atGateway) == 0 || atGateway[0].Header.Get("X-Portkey-Api-Key") != leak {
		t.Fatalf("%s: got %v and %v, want the first hop at the gateway, with the key", name, err, atGateway)
	}
	carries := len(atGateway[0].Body) > 0 && status >= 307
	for _, hop := range append(away, atGateway[1:]...) {
		if hop.Path != "/away" && hop.Path != "/v1/back" {
			continue // a second try, at the gateway
		}
		hop.checkClean(t)
		if text := fmt.Sprint(hop); strings.Contains(text, leak) || strings.Contains(text, clientKey) || len(hop.Body) > 0 {
			t.Errorf("%s: %s%s got %s, want no secret and no body", name, hop.Host, hop.Path, text)
		}
		if carries {
			t.Errorf("%s: %s%s was called, want the body refused", name, hop.Host, hop.Path)
		}
	}
	if carries && err == nil {
		t.Errorf("%s: got no error, want the redirect refused", name)
	}
	return len(away) > 0
}
