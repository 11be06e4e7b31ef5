// Package portkeytest provides an in-process Portkey gateway for tests and
// demonstrations, as net/http/httptest provides servers. It needs no network and
// no key, and answers chat completions by itself.
package portkeytest

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"

	"github.com/portkey-go/portkey"
)

// A Gateway listens on a port of the loopback interface. Like the open-source
// gateway it answers 400 to a request that says neither a provider nor a config,
// and it echoes the trace ID.
type Gateway struct {
	server *httptest.Server

	mu       sync.Mutex
	requests []Request
}

// A Request is one request as the Gateway received it.
type Request struct {
	Method string
	Path   string // with query
	Header http.Header
	Body   []byte
}

// TraceID is the request's x-portkey-trace-id.
func (r Request) TraceID() string { return r.Header.Get("X-Portkey-Trace-Id") }

// Provider is the request's x-portkey-provider.
func (r Request) Provider() string { return r.Header.Get("X-Portkey-Provider") }

// Config is the request's x-portkey-config.
func (r Request) Config() string { return r.Header.Get("X-Portkey-Config") }

// Metadata is the request's x-portkey-metadata, nil if that is not a JSON object
// of strings: the gateway cannot read it either.
func (r Request) Metadata() portkey.Metadata {
	var m portkey.Metadata
	if json.Unmarshal([]byte(r.Header.Get("X-Portkey-Metadata")), &m) != nil {
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
	g := new(Gateway)
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/chat/completions", g.chat)
	g.server = httptest.NewServer(g.record(mux))
	return g
}

// URL is the Gateway's base URL, for Options.BaseURL.
func (g *Gateway) URL() string { return g.server.URL + "/v1" }

// Close stops the Gateway, and waits for its requests to end.
func (g *Gateway) Close() { g.server.Close() }

// Requests returns what has arrived so far.
func (g *Gateway) Requests() []Request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.requests)
}

func (g *Gateway) record(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return // the client is gone
		}
		g.mu.Lock()
		g.requests = append(g.requests, Request{r.Method, r.URL.RequestURI(), r.Header.Clone(), body})
		g.mu.Unlock()
		r.Body = io.NopCloser(strings.NewReader(string(body)))
		next.ServeHTTP(w, r)
	})
}

// chat answers as a model would that repeats what it is told.
func (g *Gateway) chat(w http.ResponseWriter, r *http.Request) {
	provider := r.Header.Get("X-Portkey-Provider")
	if provider == "" && r.Header.Get("X-Portkey-Config") == "" {
		fail(w, http.StatusBadRequest, "Either x-portkey-config or x-portkey-provider header is required")
		return
	}
	var req struct {
		Model    string
		Stream   bool
		Messages []struct{ Content any }
	}
	if json.NewDecoder(r.Body).Decode(&req) != nil {
		fail(w, http.StatusInternalServerError, "Something went wrong")
		return
	}
	said := "nothing"
	if n := len(req.Messages); n > 0 {
		said = fmt.Sprint(req.Messages[n-1].Content)
	}
	words := strings.SplitAfter("You said: "+said, " ")

	maps.Copy(w.Header(), http.Header{
		"X-Portkey-Cache-Status":           {"DISABLED"},
		"X-Portkey-Last-Used-Option-Index": {"config"},
		"X-Portkey-Provider":               {provider},
		"X-Portkey-Retry-Attempt-Count":    {"0"},
		"X-Portkey-Trace-Id":               {r.Header.Get("X-Portkey-Trace-Id")},
	})
	if !req.Stream {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(completion("chat.completion", req.Model, "message", strings.Join(words, ""), "stop"))
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := http.NewResponseController(w)
	for _, word := range words {
		event(w, completion("chat.completion.chunk", req.Model, "delta", word, nil))
		flusher.Flush()
	}
	event(w, completion("chat.completion.chunk", req.Model, "delta", "", "stop"))
	io.WriteString(w, "data: [DONE]\n\n")
}

func completion(object, model, part, content string, finish any) map[string]any {
	return map[string]any{
		"id": "chatcmpl-portkeytest", "object": object, "created": 0, "model": model,
		"choices": []any{map[string]any{
			"index": 0, "finish_reason": finish,
			part: map[string]any{"role": "assistant", "content": content},
		}},
	}
}

func event(w io.Writer, v any) {
	b, _ := json.Marshal(v)
	fmt.Fprintf(w, "data: %s\n\n", b)
}

// fail answers as the gateway does when the fault is not the provider's.
func fail(w http.ResponseWriter, status int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{"status": "failure", "message": message})
}
