// Package portkeytest is a Portkey gateway for tests and demonstrations, as
// net/http/httptest is a server. It runs inside the test, on the loopback
// interface, and needs neither a network nor a key.
//
//	gw := portkeytest.NewGateway(t)
//	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig("sk-test"), portkey.Options{BaseURL: gw.URL()})
//	// ... use the client ...
//	gw.Requests()[0].TraceID()
//
// By itself it answers as a model would that repeats what it is told: chat
// completions, completions, responses, Anthropic's messages and their token
// count, embeddings, image generations, models and files, streamed if so
// requested. Everything else is 404, as at a provider.
//
// [Gateway.Handle] is for answers of one's own, [Gateway.Next] for what goes
// wrong:
//
//	gw.Handle("POST /chat/completions", http.HandlerFunc(...))
//	gw.Next(portkeytest.Fault{Status: 429, RetryAfter: 2 * time.Second})
//
// # What it shares with the real gateway
//
// It refuses what the open-source gateway refuses (no provider, an unknown
// provider, endpoints that a provider lacks, configs that are none, content
// types, hosts, broken bodies, headers of 16 KB), with its status and message. It
// sends the gateway's x-portkey-* response headers. It follows a config object:
// fallback, loadbalance, single and conditional targets, retries (without the
// waits in between), and timeouts. It turns a provider's errors into the gateway's.
// The tests in interop/ compare it with version 1.15.2, and list what differs.
//
// Like the hosted gateway, it takes virtual keys, "@slug" providers and config
// slugs ("pc-...", "cf-..."). Whatever they stand for, it is one target, openai
// if the request does not say another provider.
//
// It calls nobody, whatever x-portkey-custom-host says, caches nothing, runs no
// guardrails, and does not translate between providers: a request is answered as
// the client sent it, and a successful answer reaches the client as it is, but
// for the provider's name. [Fault] pretends the rest.
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

	"github.com/portkey-go/portkey"
)

// maxBody bounds what is read of one body.
const maxBody = 32 << 20

// A Gateway listens on a port of the loopback interface. It may be used by
// several goroutines.
type Gateway struct {
	server   *httptest.Server
	upstream *httptest.Server // stands for all providers
	client   *http.Client     // calls it
	handlers *http.ServeMux   // what Handle has added to it
	stop     context.CancelFunc

	mu       sync.Mutex
	requests []Request
	faults   []Fault
}

// A Request is one request as the Gateway received it.
type Request struct {
	Method string
	Path   string // with query, and with the /v1 of the Gateway's URL
	Header http.Header
	Body   []byte
}

// TraceID is the request's x-portkey-trace-id.
func (r Request) TraceID() string { return value(r.Header, "X-Portkey-Trace-Id") }

// Provider is the request's x-portkey-provider.
func (r Request) Provider() string { return value(r.Header, "X-Portkey-Provider") }

// Config is the request's x-portkey-config: a slug, or an object's JSON.
func (r Request) Config() string { return value(r.Header, "X-Portkey-Config") }

// Metadata is the request's x-portkey-metadata as the gateway reads it: byte by
// byte, as Latin-1. It is nil if that is not a JSON object of strings.
func (r Request) Metadata() portkey.Metadata {
	var m portkey.Metadata
	if json.Unmarshal([]byte(latin1(value(r.Header, "X-Portkey-Metadata"))), &m) != nil {
		return nil
	}
	return m
}

// TB is the part of testing.TB that NewGateway uses.
type TB interface{ Cleanup(func()) }

// NewGateway starts a Gateway that stops at the end of the test.
func NewGateway(t TB) *Gateway {
	g := Start()
	t.Cleanup(g.Close)
	return g
}

// Start starts a Gateway. The caller closes it.
func Start() *Gateway {
	ctx, stop := context.WithCancel(context.Background())
	g := &Gateway{
		client:   &http.Client{Transport: &http.Transport{DisableCompression: true, MaxIdleConnsPerHost: 16}},
		handlers: http.NewServeMux(),
		stop:     stop,
	}
	g.upstream = httptest.NewServer(http.HandlerFunc(g.answer))
	g.server = httptest.NewUnstartedServer(http.HandlerFunc(g.serve))
	g.server.Config.BaseContext = func(net.Listener) context.Context { return ctx }
	g.server.Start()
	return g
}

// URL is the Gateway's base URL, for Options.BaseURL. It ends in /v1.
func (g *Gateway) URL() string { return g.server.URL + "/v1" }

// Close stops the Gateway, and with it the requests that are going on.
func (g *Gateway) Close() {
	g.stop()
	g.server.Close()
	g.client.CloseIdleConnections()
	g.upstream.Close()
}

// Requests returns what has arrived so far, refused requests included.
func (g *Gateway) Requests() []Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.requests)
}

// Handle has h answer the requests that match pattern, in a provider's place. The
// pattern is one of [http.ServeMux], relative to the Gateway's URL ("POST
// /chat/completions", "/models/{id}", "/" for everything), and so is the path
// that h sees; what no pattern matches is answered as before. As there, it
// panics if it cannot take the pattern, or has it already.
//
// What the gateway refuses does not reach h, and what h answers comes back with
// the gateway's headers, and as the gateway hands it on: on the endpoints that it
// unifies, an error's message says the provider, text becomes JSON, and a
// successful answer that is not JSON is a gateway exception. An x-portkey-* header
// that h sets goes before the gateway's. The Content-Type is application/json
// unless h sets another. An h that panics with [http.ErrAbortHandler] is a
// provider that hangs up.
//
// h gets the request as it arrived, except that X-Portkey-Provider is the
// provider that was chosen, and Authorization its key if that is from a config: by
// these it can tell targets apart. A body without Content-Type is empty, as the
// gateway makes it. With retries and fallbacks h is called again.
func (g *Gateway) Handle(pattern string, h http.Handler) { g.handlers.Handle(pattern, h) }

// answer is the upstream's handler.
func (g *Gateway) answer(w http.ResponseWriter, r *http.Request) {
	// Only when its body is read does a request end with its connection.
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if _, pattern := g.handlers.Handler(r); pattern != "" {
		w.Header().Set("Content-Type", "application/json")
		g.handlers.ServeHTTP(w, r) // a handler by itself would miss the pattern's wildcards
		return
	}
	answers.ServeHTTP(w, r)
}

// serve is the gateway's handler.
func (g *Gateway) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		http.Error(w, fmt.Sprintf("portkeytest takes bodies of at most %d bytes", tooLarge.Limit), http.StatusRequestEntityTooLarge)
		return
	}
	if err != nil {
		return // the client is gone
	}
	g.mu.Lock()
	g.requests = append(g.requests, Request{r.Method, r.URL.RequestURI(), r.Header.Clone(), bytes.Clone(body)})
	g.mu.Unlock()

	proxy := httputil.ReverseProxy{
		Rewrite:       func(*httputil.ProxyRequest) {},
		Transport:     &call{gateway: g, in: r, body: body},
		FlushInterval: -1,
		ErrorHandler:  func(http.ResponseWriter, *http.Request, error) { panic(http.ErrAbortHandler) },
		ErrorLog:      log.New(io.Discard, "", 0),
	}
	proxy.ServeHTTP(w, r)
}

// value is a header's value as the gateway reads it: two lines are joined.
func value(h http.Header, key string) string { return strings.Join(h[key], ", ") }

// latin1 returns the characters that the gateway takes the bytes for.
func latin1(text string) string {
	runes := make([]rune, len(text))
	for i := range len(text) {
		runes[i] = rune(text[i])
	}
	return string(runes)
}
