// Package portkeytest provides a Portkey gateway for tests, as net/http/httptest provides an HTTP server. The gateway
// runs inside the test and listens on the loopback interface. It needs no network and no API key.
//
//	func TestGreet(t *testing.T) {
//		gw := portkeytest.NewGateway(t)
//		cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig("sk-test"), portkey.Options{BaseURL: gw.URL()})
//		if err != nil {
//			t.Fatal(err)
//		}
//		greet(openai.NewClientWithConfig(cfg)) // the code under test
//
//		if got := gw.Requests()[0].TraceID(); got != "greet-1" {
//			t.Errorf("trace ID: got %q, want greet-1", got)
//		}
//	}
//
// By default, the gateway responds like a model that echoes the prompt. It supports chat completions, completions,
// responses, Anthropic's messages and token counting, embeddings, image generations, models and files, and streams the
// response if the request asks for it. Any other endpoint returns 404. [Gateway.Handle] replaces a response,
// [Gateway.Next] injects a [Fault]:
//
//	gw.Handle("POST /chat/completions", http.HandlerFunc(...))
//	gw.Next(portkeytest.Fault{Status: 429, RetryAfter: 2 * time.Second}) // the provider's rate limit
//	gw.Next(portkeytest.Fault{EndEarly: true})                           // a stream that the provider breaks off
//	gw.Close()                                                           // an outage of the gateway
//
// # The open-source gateway
//
// The tests in the repository's interop directory send the same requests to this gateway and to version 1.15.2 of the
// open-source gateway, and list where the responses differ. Like that gateway, it
//
//   - rejects a request without a provider, an unknown provider, an endpoint that the provider does not support, an
//     invalid config, content type, custom host or body, and headers of 16 KiB or more, with the gateway's status and
//     message
//   - follows a config object: single, loadbalance, fallback and conditional targets, retries, timeouts and
//     override_params
//   - evaluates the conditions of a config by the rules of JavaScript, in which the gateway is written. A regular
//     expression that Go cannot compile, such as one with a lookahead, fails the test, and the response has status 501
//   - adds the provider's name to errors on the endpoints that the gateway translates between providers (chat
//     completions, messages, files and others), and proxies all other endpoints unchanged (models, rerank and others)
//   - adds the x-portkey-* response headers
//   - adds hook_results to a response if a [Fault] says so
//
// # The hosted gateway
//
// What only the gateway at api.portkey.ai does is imitated from its documentation of August 2026. It was not tested
// against that gateway. As documented, this gateway
//
//   - accepts virtual keys, "@slug" providers and config slugs ("pc-..." and "cf-..."). Each stands for one provider:
//     the one that the request names, by default openai
//   - accepts "@slug/model" as the model, without a provider. The handler receives the provider "@slug" and "model"
//   - removes drop_params from the body, adds default_params that are missing, and then sets override_params
//   - serves POST /prompts/{id}/completions and /render, where the saved prompt is one message with the values of the
//     variables; POST /feedback and /logs; PUT /feedback/{id}; and GET /models without a provider, which lists the
//     models of the catalog
//   - refuses what saved-only mode refuses, if [Gateway.SavedOnly] is set
//   - adds the hook_results of an output guardrail to an event stream, if a [Fault] says so
//
// # What it does not do
//
// It never calls a provider, not even at x-portkey-custom-host. It does not wait between retries, cache responses, run
// guardrails or convert requests and responses between the formats of providers. A [Fault] can simulate a cache hit or
// the result of a guardrail.
package portkeytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/portkey-go/portkey"
)

// maxBodyBytes limits how much of a request or response body is read into memory.
const maxBodyBytes = 32 << 20

// A Gateway is a Portkey gateway that listens on a port of the loopback interface. Its methods may be called
// concurrently.
type Gateway struct {
	// SavedOnly enables the hosted gateway's saved-only mode ("Block Inline Configs"), which is on by default for
	// organizations created since June 2026. A request is refused with status 400 if it has a config that is not a
	// slug, a provider that is not a "@slug", a custom host, a provider's URL (Hugging Face, Azure Foundry,
	// Databricks) or forward headers. Set SavedOnly before the first request.
	//
	// The error codes and the form of the error are those that Portkey documents. They were not tested against the
	// hosted gateway.
	SavedOnly bool

	t        TB // nil if the Gateway was made by Start
	server   *httptest.Server
	upstream *httptest.Server // stands in for every provider
	caller   *http.Client     // calls upstream
	client   *http.Client     // returned by Client
	handlers *http.ServeMux   // added by Handle
	stop     context.CancelFunc

	mu         sync.Mutex
	requests   []Request
	faults     []Fault
	connStates map[net.Conn]http.ConnState // of the open connections of clients
}

// A Request is an HTTP request as the Gateway received it.
type Request struct {
	Method string
	Path   string // including the /v1 of the Gateway's URL and the query
	Header http.Header
	Body   []byte
}

// TraceID returns the x-portkey-trace-id header.
func (r Request) TraceID() string { return headerValue(r.Header, "X-Portkey-Trace-Id") }

// Provider returns the x-portkey-provider header.
func (r Request) Provider() string { return headerValue(r.Header, "X-Portkey-Provider") }

// Config returns the x-portkey-config header, which is a slug or a JSON object.
func (r Request) Config() string { return headerValue(r.Header, "X-Portkey-Config") }

// Metadata returns the decoded x-portkey-metadata header, or nil if it is not a JSON object of strings. Like the
// gateway, it reads the header as Latin-1, so text that was sent as UTF-8 is garbled.
func (r Request) Metadata() portkey.Metadata {
	var m portkey.Metadata
	if json.Unmarshal([]byte(decodeLatin1(headerValue(r.Header, "X-Portkey-Metadata"))), &m) != nil {
		return nil
	}
	return m
}

// TB is the part of [testing.TB] that NewGateway uses.
type TB interface {
	Cleanup(func())
	Errorf(format string, args ...any)
	Helper()
}

// NewGateway starts a Gateway and closes it when the test ends. The test fails if a fault was not used up by then: see
// [Gateway.Next]. NewGateway panics if it cannot listen on the loopback interface.
func NewGateway(t TB) *Gateway {
	g := Start()
	g.t = t
	t.Cleanup(func() {
		t.Helper()
		g.Close()
		g.mu.Lock()
		defer g.mu.Unlock()
		if n := len(g.faults); n > 0 {
			t.Errorf("portkeytest: %d of the faults passed to Next were not used up: there were too few calls", n)
		}
	})
	return g
}

// errorf fails the test. A Gateway made by Start has no test.
func (g *Gateway) errorf(format string, args ...any) {
	if g.t != nil {
		g.t.Helper()
		g.t.Errorf(format, args...)
	}
}

// Start starts a Gateway outside of a test, such as in an example. The caller must call Close when finished with it.
// Nobody is told about faults that were not used up. Start panics if it cannot listen on the loopback interface.
func Start() *Gateway {
	ctx, stop := context.WithCancel(context.Background())
	g := &Gateway{
		caller:     &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}},
		handlers:   http.NewServeMux(),
		stop:       stop,
		connStates: make(map[net.Conn]http.ConnState),
	}
	g.upstream = httptest.NewServer(http.HandlerFunc(g.serveUpstream))
	g.server = httptest.NewUnstartedServer(http.HandlerFunc(g.serveGateway))
	g.server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	g.server.Config.ConnState = g.trackConn
	g.server.Start()

	// All that NewTransport would read from the environment is set.
	transport, err := portkey.NewTransport(new(http.Transport), portkey.Options{
		BaseURL: g.URL(),
		Headers: portkey.Headers{APIKey: "portkeytest"},
	})
	if err != nil {
		panic(err)
	}
	g.client = &http.Client{Transport: transport}
	return g
}

// URL returns the Gateway's base URL, for use as Options.BaseURL. It ends in /v1.
func (g *Gateway) URL() string { return g.server.URL + "/v1" }

// Client returns an http.Client that goes through the Gateway: its Transport is a [portkey.Transport] with the URL of
// the Gateway, the Portkey API key "portkeytest" and no other options. It does not depend on environment variables.
// Each call returns the same client. Use portkey.WrapClient to set other options.
func (g *Gateway) Client() *http.Client { return g.client }

// Close shuts down the Gateway and cancels the requests in progress. A request after Close fails as in an outage: the
// connection is refused. Close may be called more than once.
func (g *Gateway) Close() {
	g.stop()
	g.server.Listener.Close()
	g.closeConns()
	g.server.Close()
	g.caller.CloseIdleConnections()
	g.upstream.Close()
}

func (g *Gateway) trackConn(conn net.Conn, state http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.connStates[conn] = state
	if state == http.StateClosed || state == http.StateHijacked {
		delete(g.connStates, conn)
	}
}

// closeConns closes connections as soon as they are idle, and waits until the clients have closed them as well.
// Otherwise, a client could send its next request on such a connection and get io.EOF.
func (g *Gateway) closeConns() {
	for range 200 { // a client or handler that does not notice delays Close by 200 ms
		g.mu.Lock()
		n := len(g.connStates)
		for conn, state := range g.connStates {
			if state != http.StateActive {
				conn.(*net.TCPConn).CloseWrite()
			}
		}
		g.mu.Unlock()
		if n == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// Requests returns the requests received so far, in order, including those that the gateway rejected. A request whose
// body was too large (more than 32 MiB) or incomplete is not included.
func (g *Gateway) Requests() []Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.requests)
}

// Handle registers a handler that responds in place of the provider to requests that match the pattern. Requests that
// match no pattern get the default response.
//
// The pattern has the syntax of [http.ServeMux]. It is relative to the Gateway's URL: "POST /chat/completions",
// "/models/{id}", or "/" for every request. It may also begin with the /v1 of that URL: "POST /v1/chat/completions".
// Handle panics if the pattern is invalid or conflicts with a registered one.
//
// The handler receives the client's request with these changes:
//
//   - The path is relative to the Gateway's URL, whatever the pattern.
//   - The body is changed by the override_params, default_params and drop_params of the config. A model "@slug/model"
//     that names the provider becomes "model".
//   - X-Portkey-Provider is the provider that the gateway selected. If the config has an API key for that provider,
//     Authorization contains that key, except that on proxied endpoints the client's Authorization takes precedence.
//   - HEAD becomes GET. A request without a Content-Type has no body.
//
// It is called once for every call to the provider, which includes retries and each target of a fallback, but not for
// a request that the gateway rejects. A handler that panics with [http.ErrAbortHandler] acts as a provider that closes
// the connection.
//
// The default Content-Type of the handler's response is application/json. The gateway adds its x-portkey-* headers,
// unless the handler has set them. On the endpoints that the gateway translates, it also adds the provider's name to
// error messages and, for most providers, to the JSON object; it wraps text and HTML in JSON; and it responds with a
// gateway exception if the body is not valid JSON.
func (g *Gateway) Handle(pattern string, h http.Handler) {
	g.handlers.Handle(pattern, h)
	if method, path, ok := strings.Cut(pattern, "/v1/"); ok && !strings.Contains(method, "/") {
		g.handlers.Handle(method+"/"+path, h)
	}
}

func (g *Gateway) serveUpstream(w http.ResponseWriter, r *http.Request) {
	// net/http cancels the request's context when the connection is closed only after the body has been read.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if _, pattern := g.handlers.Handler(r); pattern != "" {
		w.Header().Set("Content-Type", "application/json")
		g.handlers.ServeHTTP(w, r) // sets the request's path values, which the handler returned above would lack
		return
	}
	echo.ServeHTTP(w, r)
}

func (g *Gateway) serveGateway(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBodyBytes))
	var tooLarge *http.MaxBytesError
	if errors.As(err, &tooLarge) {
		message := fmt.Sprintf("portkeytest takes bodies of at most %d bytes", tooLarge.Limit)
		http.Error(w, message, http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		return // the client has closed the connection
	}
	g.mu.Lock()
	g.requests = append(g.requests, Request{r.Method, r.URL.RequestURI(), r.Header.Clone(), bytes.Clone(body)})
	g.mu.Unlock()

	proxy := httputil.ReverseProxy{
		Rewrite:       func(*httputil.ProxyRequest) {}, // exchange builds the outgoing request
		Transport:     &exchange{gateway: g, req: r, body: body},
		FlushInterval: -1, // flush every write, also of a response that is not an event stream
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	proxy.ServeHTTP(w, r)
}

// headerValue returns the header's values joined by a comma, as Node.js does.
func headerValue(h http.Header, key string) string { return strings.Join(h[key], ", ") }

// decodeLatin1 decodes each byte as one character, as Node.js does with header values.
func decodeLatin1(value string) string {
	runes := make([]rune, len(value))
	for i := range len(value) {
		runes[i] = rune(value[i])
	}
	return string(runes)
}
