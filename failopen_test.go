package portkey_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/url"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
)

// refusedURL is a gateway that refuses connections: port 1 is not used on any machine.
const refusedURL = "http://127.0.0.1:1/v1"

// providerBase starts a server that stands for all providers, and returns it and a base
// that connects to it for any host but 127.0.0.1.
func providerBase(t *testing.T) (*server, *http.Transport) {
	t.Helper()
	provider := newServer(t, nil)
	base := loopback.Clone()
	base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if host, _, _ := net.SplitHostPort(addr); host != "127.0.0.1" {
			addr = provider.Listener.Addr().String()
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}
	base.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		return base.DialContext(ctx, network, addr) // the provider's server has no TLS
	}
	t.Cleanup(base.CloseIdleConnections)
	return provider, base
}

func alwaysFailOpen(*http.Request, error) bool { return true }

func TestFailOpenSendsTheClientsRequestToTheProvider(t *testing.T) {
	t.Parallel()
	type headers = map[string]string
	upstreams := []portkey.Upstream{{BaseURL: "https://eu.llm.example/v1", Provider: "openai"}}
	retry := portkey.ConfigObject{Retry: &portkey.Retry{Attempts: 2}}
	for _, tt := range []struct {
		name, url string
		header    headers
		opts, ctx portkey.Headers
	}{
		{name: "OpenAI", url: openAIChat, header: headers{"Authorization": "Bearer own"}},
		{name: "Anthropic", url: "https://api.anthropic.com/v1/messages", header: headers{"X-Api-Key": "own"}},
		{name: "key in the query", url: "https://generativelanguage.googleapis.com/v1beta/models/m:generateContent?key=own"},
		{name: "Azure", url: "https://res.openai.azure.com/openai/deployments/d/chat/completions?api-version=1", header: headers{"Api-Key": "own"}},
		{name: "Entra token", url: "https://res.openai.azure.com/openai/deployments/d/chat/completions", header: headers{"Authorization": "Bearer own"}},
		{name: "custom host of the table", url: "https://api.cohere.com/v2/chat", header: headers{"Authorization": "Bearer own"}},
		{name: "Upstream", url: "https://eu.llm.example/v1/chat/completions", header: headers{"Authorization": "Bearer own"}},
		{name: "no credential", url: openAIChat},
		{name: "parameters of Portkey", url: openAIChat, header: headers{"Authorization": "Bearer own", "x-portkey-span-id": "s", "X-PORTKEY-DEBUG": "false"},
			opts: portkey.Headers{APIKey: "pk", Authorization: "Bearer default", Azure: portkey.Azure{APIVersion: "1"}},
			ctx:  portkey.Headers{TraceID: "t", Metadata: portkey.Metadata{"a": "b"}, Config: retry, Provider: "openai"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			provider, base := providerBase(t)
			tr := newTransport(t, base, portkey.Options{BaseURL: refusedURL, Headers: tt.opts, Upstreams: upstreams, FailOpen: alwaysFailOpen})
			var info portkey.ResponseInfo
			ctx := portkey.WithResponseInfo(portkey.WithHeaders(t.Context(), tt.ctx), &info)
			send := func(rt http.RoundTripper, withPortkey bool) receivedRequest {
				req := newRequest(t, ctx, "POST", tt.url, `{"model":"m"}`)
				for key, value := range tt.header {
					if withPortkey || !strings.HasPrefix(strings.ToLower(key), "x-portkey-") {
						req.Header[key] = []string{value}
					}
				}
				do(t, &http.Client{Transport: rt}, req)
				return provider.last(t)
			}
			want := send(base, false)
			got := send(tr, true)
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got %+v, want %+v", got, want)
			}
			if info != (portkey.ResponseInfo{StatusCode: http.StatusOK, FailedOpen: true}) {
				t.Errorf("got %+v, want status 200 and FailedOpen", info)
			}
		})
	}
}

func TestFailOpenIsNotAskedUnlessTheClientsRequestSaysEverything(t *testing.T) {
	t.Parallel()
	opts := portkey.Options{Upstreams: []portkey.Upstream{
		{BaseURL: "https://saved.example/v1", Provider: "@saved"}, {BaseURL: "https://none.example/v1"},
		{BaseURL: "https://alias.example/v1", Provider: "openai", CustomHost: "https://inside.example/v1"},
		{BaseURL: "https://path.example/v1", Provider: "openai", CustomHost: "https://path.example"},
	}, ProviderSlugs: map[string]string{"groq": "@groq", "mistral-ai": ""}}
	const azure = "https://res.openai.azure.com/openai/deployments/d/chat/completions"
	for _, tt := range []struct {
		name, url string
		ctx       portkey.Headers
		noKey     bool
		noGetBody bool
	}{
		{name: "gateway's URL", url: refusedURL + "/chat/completions"},
		{name: "body without GetBody", url: openAIChat, noGetBody: true},
		{name: "saved provider", url: openAIChat, ctx: portkey.Headers{Provider: "@openai"}},
		{name: "another provider", url: openAIChat, ctx: portkey.Headers{Provider: "groq"}},
		{name: "provider slug", url: "https://api.groq.com/openai/v1/models"},
		{name: "no provider", url: "https://api.mistral.ai/v1/models"},
		{name: "virtual key", url: openAIChat, ctx: portkey.Headers{VirtualKey: "vk"}},
		{name: "config slug", url: openAIChat, ctx: portkey.Headers{Config: portkey.ConfigSlug("pc-1")}},
		{name: "config with a provider", url: openAIChat, ctx: portkey.Headers{Config: portkey.ConfigObject{Provider: "openai", APIKey: "sk"}}},
		{name: "config that changes the request", url: openAIChat, ctx: portkey.Headers{Config: portkey.ConfigObject{
			Retry: &portkey.Retry{Attempts: 1}, OverrideParams: map[string]any{"model": "m"}}}},
		{name: "credential for the call", url: openAIChat, ctx: portkey.Headers{Authorization: "Bearer tenant"}},
		{name: "credential in Options", url: openAIChat, noKey: true},
		{name: "custom host", url: openAIChat, ctx: portkey.Headers{CustomHost: "https://llm.example/v1"}},
		{name: "another Azure resource", url: azure, ctx: portkey.Headers{Azure: portkey.Azure{ResourceName: "other"}}},
		{name: "Azure's credential", url: azure, ctx: portkey.Headers{Azure: portkey.Azure{EntraClientSecret: "s"}}},
		{name: "Upstream with a slug", url: "https://saved.example/v1/models"},
		{name: "Upstream without a provider", url: "https://none.example/v1/models"},
		{name: "Upstream that is an alias", url: "https://alias.example/v1/models"},
		{name: "Upstream that is an alias with another path", url: "https://path.example/v1/models"},
		{name: "organization in Headers", url: openAIChat, ctx: portkey.Headers{OpenAI: portkey.OpenAI{Organization: "org-1"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			provider, base := providerBase(t)
			opts := opts
			opts.BaseURL, opts.Headers.Authorization = refusedURL, "Bearer default"
			opts.FailOpen = func(*http.Request, error) bool {
				t.Error("FailOpen was called")
				return true
			}
			req := newRequest(t, portkey.WithHeaders(t.Context(), tt.ctx), "POST", tt.url, "{}")
			if !tt.noKey {
				req.Header.Set("Authorization", "Bearer own")
			}
			if tt.noGetBody {
				req.GetBody = nil
			}
			_, err := newTransport(t, base, opts).RoundTrip(req)
			var opErr *net.OpError
			if !errors.As(err, &opErr) || opErr.Op != "dial" {
				t.Errorf("got %v, want the error of the dial", err)
			}
			if n := len(provider.all()); n > 0 {
				t.Errorf("got %d requests at the provider, want none", n)
			}
		})
	}
}

// What the table of outages in docs/outages.md says.
func TestFailOpenIsAskedOnlyIfNoConnectionWasMade(t *testing.T) {
	t.Parallel()
	listen := func(t *testing.T, serve func(net.Conn)) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					return
				}
				t.Cleanup(func() { conn.Close() })
				go serve(conn)
			}
		}()
		return l.Addr().String()
	}
	readRequest := func(conn net.Conn) { conn.Read(make([]byte, 4096)) }
	dialError := func(err error) func(*http.Transport) {
		return func(base *http.Transport) {
			dial := base.DialContext
			base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if strings.HasPrefix(addr, "127.0.0.1:") {
					return nil, err
				}
				return dial(ctx, network, addr)
			}
		}
	}
	useTLS := func(base *http.Transport) { // for the gateway; the provider's server has none
		dial := base.DialContext
		base.DialTLSContext = nil
		base.TLSHandshakeTimeout = 100 * time.Millisecond
		base.TLSClientConfig = &tls.Config{ServerName: "gw.example"}
		base.DialContext = dial
	}
	for _, tt := range []struct {
		name    string
		gateway func(t *testing.T) string // nil: refuses connections
		change  func(*http.Transport)
		retry   bool
		asked   bool
		status  int // of the gateway's response; 0: an error
	}{
		{name: "connection refused", asked: true},
		{name: "connection refused, with retries", retry: true, asked: true},
		{name: "unknown name", change: dialError(&net.DNSError{Err: "no such host", IsNotFound: true}), asked: true},
		{name: "timeout of the dial", change: dialError(context.DeadlineExceeded), asked: true},
		{name: "the dialer's own error", change: dialError(errors.New("no route")), asked: true},
		{name: "proxy is down", change: func(base *http.Transport) {
			base.Proxy = func(r *http.Request) (*url.URL, error) {
				if r.URL.Hostname() == "127.0.0.1" {
					return url.Parse("http://127.0.0.1:1")
				}
				return nil, nil
			}
		}, asked: true},
		{name: "no TLS at the gateway", gateway: func(t *testing.T) string {
			return "https://" + listen(t, func(conn net.Conn) {
				readRequest(conn)
				io.WriteString(conn, "HTTP/1.1 400 Bad Request\r\n\r\n")
				conn.Close()
			})
		}, change: useTLS},
		{name: "unknown certificate", gateway: func(t *testing.T) string {
			s := httptest.NewUnstartedServer(nil)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			return s.URL
		}, change: useTLS},
		{name: "timeout of the TLS handshake", gateway: func(t *testing.T) string { return "https://" + listen(t, readRequest) }, change: useTLS},
		{name: "own TLS dialer fails after connecting", gateway: func(t *testing.T) string { return "https://" + listen(t, readRequest) },
			change: func(base *http.Transport) {
				dial := base.DialContext
				base.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					conn, err := dial(ctx, network, addr)
					if err == nil && strings.HasPrefix(addr, "127.0.0.1:") {
						conn.Close()
						return nil, errors.New("certificate pin")
					}
					return conn, err
				}
			}},
		{name: "own TLS dialer that does not report its connection", gateway: func(t *testing.T) string {
			s := httptest.NewUnstartedServer(nil)
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			t.Cleanup(s.Close)
			return s.URL
		}, change: func(base *http.Transport) {
			dial := base.DialTLSContext
			base.DialTLSContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
				if strings.HasPrefix(addr, "127.0.0.1:") {
					return tls.Dial(network, addr, &tls.Config{ServerName: "gw.example"})
				}
				return dial(ctx, network, addr)
			}
		}},
		{name: "own TLS dialer's own error", gateway: func(t *testing.T) string { return "https://127.0.0.1:1" }, change: func(base *http.Transport) {
			base.DialTLSContext = func(context.Context, string, string) (net.Conn, error) { return nil, errors.New("certificate pin") }
		}},
		{name: "own TLS dialer, connection refused", gateway: func(t *testing.T) string { return "https://127.0.0.1:1" }, asked: true},
		{name: "no response", gateway: func(t *testing.T) string { return "http://" + listen(t, readRequest) },
			change: func(base *http.Transport) { base.ResponseHeaderTimeout = 50 * time.Millisecond }},
		{name: "closed after the request", gateway: func(t *testing.T) string {
			return "http://" + listen(t, func(conn net.Conn) { readRequest(conn); conn.Close() })
		}},
		{name: "load balancer answers 503", gateway: func(t *testing.T) string {
			return newServer(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }).URL
		}, status: http.StatusServiceUnavailable},
		{name: "the second attempt is refused", retry: true, gateway: func(t *testing.T) string {
			var s *server
			s = newServer(t, func(w http.ResponseWriter, _ *http.Request) {
				s.Listener.Close()
				conn, _, _ := http.NewResponseController(w).Hijack()
				io.WriteString(conn, "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
				conn.Close()
			})
			return s.URL
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			provider, transport := providerBase(t)
			gatewayURL := refusedURL
			if tt.gateway != nil {
				gatewayURL = tt.gateway(t) + "/v1"
			}
			if tt.change != nil {
				tt.change(transport)
			}
			var base http.RoundTripper = transport
			if tt.retry {
				retry := portkey.NewRetryTransport(transport)
				retry.Client.RetryWaitMin, retry.Client.RetryWaitMax, retry.Client.RetryMax = time.Millisecond, time.Millisecond, 2
				base = retry
			}
			var asked atomic.Int64
			tr := newTransport(t, base, portkey.Options{BaseURL: gatewayURL, FailOpen: func(_ *http.Request, err error) bool {
				asked.Add(1)
				if err == nil {
					t.Error("FailOpen was called without an error")
				}
				return true
			}})
			resp, err := tr.RoundTrip(newRequest(t, t.Context(), "POST", openAIChat, "{}"))
			if err == nil {
				resp.Body.Close()
			}
			wantRequests := 0
			if tt.asked {
				wantRequests = 1
			}
			if int(asked.Load()) != wantRequests || len(provider.all()) != wantRequests {
				t.Errorf("FailOpen was called %d times, and the provider %d times (error %v); want %d", asked.Load(), len(provider.all()), err, wantRequests)
			}
			if succeeds := tt.asked || tt.status != 0; (err == nil) != succeeds {
				t.Errorf("got error %v, want none: %t", err, succeeds)
			}
			if tt.status != 0 && resp.StatusCode != tt.status {
				t.Errorf("got status %d, want %d", resp.StatusCode, tt.status)
			}
		})
	}
}

func TestFailOpenIsNotAskedAfterTheContextHasEnded(t *testing.T) {
	t.Parallel()
	provider, base := providerBase(t)
	ctx, cancel := context.WithCancel(t.Context())
	base.DialContext = func(ctx context.Context, _, _ string) (net.Conn, error) {
		cancel()
		<-ctx.Done()
		return nil, ctx.Err()
	}
	tr := newTransport(t, base, portkey.Options{BaseURL: refusedURL, FailOpen: alwaysFailOpen})
	if _, err := tr.RoundTrip(newRequest(t, ctx, "POST", openAIChat, "{}")); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want context.Canceled", err)
	}
	if n := len(provider.all()); n > 0 {
		t.Errorf("got %d requests at the provider, want none", n)
	}
}

func TestFailOpenIsNotAskedForARedirect(t *testing.T) {
	t.Parallel()
	provider, base := providerBase(t)
	var gw *server
	gw = newServer(t, func(w http.ResponseWriter, r *http.Request) {
		gw.Listener.Close()
		w.Header().Set("Connection", "close")
		http.Redirect(w, r, "https://api.openai.com/v1/other", http.StatusTemporaryRedirect)
	})
	c := &http.Client{Transport: newTransport(t, base, portkey.Options{BaseURL: gw.URL, FailOpen: alwaysFailOpen})}
	if _, err := c.Do(newRequest(t, t.Context(), "POST", openAIChat, "{}")); err == nil {
		t.Error("got no error, want that of the dial")
	}
	if n := len(provider.all()); n > 0 {
		t.Errorf("got %d requests at the provider, want none", n)
	}
}

// A base that is not net/http's proves nothing.
func TestFailOpenIsNotAskedByAnUnknownBase(t *testing.T) {
	t.Parallel()
	down := &net.OpError{Op: "dial", Err: errors.New("connection refused")}
	base := &recorder{respond: func(*http.Request) (*http.Response, error) { return nil, down }}
	tr := newTransport(t, base, portkey.Options{BaseURL: refusedURL, FailOpen: alwaysFailOpen})
	if _, err := tr.RoundTrip(newRequest(t, t.Context(), "POST", openAIChat, "{}")); err != down || len(base.all()) != 1 {
		t.Errorf("got %v after %d requests, want %v after 1", err, len(base.all()), down)
	}
}

func TestFailOpenMayDecline(t *testing.T) {
	t.Parallel()
	provider, base := providerBase(t)
	var dialed atomic.Int64
	trace := &httptrace.ClientTrace{GetConn: func(string) { dialed.Add(1) }}
	req := newRequest(t, httptrace.WithClientTrace(t.Context(), trace), "POST", openAIChat, "{}")
	tr := newTransport(t, base, portkey.Options{BaseURL: refusedURL, FailOpen: func(got *http.Request, err error) bool {
		if got != req {
			t.Error("FailOpen was called with another request")
		}
		return false
	}})
	_, err := tr.RoundTrip(req)
	var opErr *net.OpError
	if !errors.As(err, &opErr) {
		t.Errorf("got %v, want the error of the dial", err)
	}
	if n := len(provider.all()); n > 0 || dialed.Load() != 1 {
		t.Errorf("got %d requests at the provider, and %d calls of the caller's trace; want none, and 1", n, dialed.Load())
	}
}

func TestFailedGetBodyReturnsTheGatewaysError(t *testing.T) {
	t.Parallel()
	_, base := providerBase(t)
	req := newRequest(t, t.Context(), "POST", openAIChat, "{}")
	req.GetBody = func() (io.ReadCloser, error) { return nil, fmt.Errorf("file is gone") }
	tr := newTransport(t, base, portkey.Options{BaseURL: refusedURL, FailOpen: alwaysFailOpen})
	var opErr *net.OpError
	if _, err := tr.RoundTrip(req); !errors.As(err, &opErr) {
		t.Errorf("got %v, want the error of the dial", err)
	}
}

func TestFailOpenSendsNoTrailerOfAnOutsider(t *testing.T) {
	t.Parallel()
	provider, base := providerBase(t)
	var trailer http.Header
	provider.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		trailer = r.Trailer
	})
	req := newRequest(t, t.Context(), "POST", openAIChat, "{}")
	req.ContentLength = -1
	req.Trailer = http.Header{"X-Portkey-Api-Key": {"outside"}}
	tr := newTransport(t, base, portkey.Options{BaseURL: refusedURL, FailOpen: alwaysFailOpen, IgnoreRequestHeaders: true})
	do(t, &http.Client{Transport: tr}, req)
	if len(trailer) > 0 {
		t.Errorf("got trailers %v, want none", trailer)
	}
}

func TestFailOpenWithATransportAsTheBaseIsAnError(t *testing.T) {
	t.Parallel()
	inner, err := portkey.NewTransport(nil, portkey.Options{BaseURL: refusedURL})
	if err != nil {
		t.Fatal(err)
	}
	_, err = portkey.NewTransport(inner, portkey.Options{BaseURL: refusedURL, FailOpen: alwaysFailOpen})
	if err == nil || !strings.Contains(err.Error(), "FailOpen") {
		t.Errorf("got %v, want an error that names FailOpen", err)
	}
}

// A provider that was called directly cannot send the client back to the gateway with its
// keys.
func TestRedirectOfACallThatFailedOpenCarriesNoSecret(t *testing.T) {
	t.Parallel()
	for setup, wrap := range map[string]func(http.RoundTripper) http.RoundTripper{
		"plain":                     func(rt http.RoundTripper) http.RoundTripper { return rt },
		"Response.Request restored": func(rt http.RoundTripper) http.RoundTripper { return restoringTransport{rt} },
	} {
		for _, location := range []string{"/v1/admin", "https://api.openai.com/v1/admin", "gateway"} {
			t.Run(setup+"/"+location, func(t *testing.T) {
				provider, base := providerBase(t)
				gateway := newServer(t, nil)
				var isUp atomic.Bool
				dial := base.DialContext
				base.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if addr == gateway.Listener.Addr().String() && !isUp.Load() {
						return nil, &net.OpError{Op: "dial", Err: errors.New("connection refused")}
					}
					return dial(ctx, network, addr)
				}
				provider.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					isUp.Store(true)
					http.Redirect(w, r, strings.Replace(location, "gateway", gateway.URL+"/v1/admin", 1), http.StatusTemporaryRedirect)
				})
				tr := newTransport(t, base, portkey.Options{BaseURL: gateway.URL, Headers: portkey.Headers{APIKey: secret}, FailOpen: alwaysFailOpen})
				req := newRequest(t, t.Context(), "DELETE", "https://api.openai.com/v1/files/f1", "")
				req.Header.Set("Authorization", "Bearer "+secret)
				if resp, err := (&http.Client{Transport: wrap(tr)}).Do(req); err == nil {
					resp.Body.Close()
				}
				for _, r := range gateway.all() {
					if text := fmt.Sprint(r.header); strings.Contains(text, secret) {
						t.Errorf("the gateway got %s, want no secret", text)
					}
				}
			})
		}
	}
}
