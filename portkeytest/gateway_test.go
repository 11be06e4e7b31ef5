package portkeytest_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

func TestRequests(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	postChat(t, gw, portkeyHeader("Config", "pc-1", "Trace-Id", "t1", "Provider", "groq"), `{}`)
	postChat(t, gw, portkeyHeader("Trace-Id", "a", "Trace-Id", "b"), `{`) // rejected

	got := gw.Requests()
	if len(got) != 2 {
		t.Fatalf("got %d requests, want 2", len(got))
	}
	checkEqual(t, "method", got[0].Method, "POST")
	checkEqual(t, "path", got[0].Path, "/v1/chat/completions")
	checkEqual(t, "body", string(got[0].Body), `{}`)
	checkEqual(t, "config", got[0].Config(), "pc-1")
	checkEqual(t, "trace ID", got[0].TraceID(), "t1")
	checkEqual(t, "provider", got[0].Provider(), "groq")
	checkEqual(t, "two trace IDs", got[1].TraceID(), "a, b")

	got[0] = portkeytest.Request{}
	checkEqual(t, "config after a change to the returned slice", gw.Requests()[0].Config(), "pc-1")
}

func TestRequestMetadata(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, header string
		want         portkey.Metadata
	}{
		{"object of strings", `{"a":"1"}`, portkey.Metadata{"a": "1"}},
		{"object with a number", `{"a":"1","b":2}`, nil},
		{"not JSON", `_user=u1`, nil},
		{"escaped", `{"a":"g\u00f4ld"}`, portkey.Metadata{"a": "gôld"}},
		{"UTF-8 is read as Latin-1", `{"a":"gôld"}`, portkey.Metadata{"a": "gÃ´ld"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.NewGateway(t)
			postChat(t, gw, portkeyHeader("Provider", "openai", "Metadata", tt.header), chatBody)
			if got := gw.Requests()[0].Metadata(); !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %v, want %v", got, tt.want)
			}
		})
	}
}

func TestNewGatewayClosesAtTheEndOfTheTest(t *testing.T) {
	t.Parallel()
	var gw *portkeytest.Gateway
	t.Run("inner", func(t *testing.T) { gw = portkeytest.NewGateway(t) })
	if resp, err := httpClient.Get(gw.URL()); err == nil {
		resp.Body.Close()
		t.Error("the gateway still responds")
	}
}

func TestRequestAfterCloseIsRefused(t *testing.T) {
	t.Parallel()
	for range 50 { // a client that has not noticed that its idle connection is closed would get EOF
		gw := portkeytest.NewGateway(t)
		postChat(t, gw, portkeyHeader("Provider", "openai"), chatBody)
		gw.Close()
		_, _, err := trySend(t, gw, "POST", "/chat/completions", portkeyHeader("Provider", "openai"), chatBody)
		var opError *net.OpError
		if !errors.As(err, &opError) || opError.Op != "dial" {
			t.Fatalf("got %v, want an error of dial", err)
		}
	}
}

func TestUnusedFaultsFailTheTest(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name   string
		faults []portkeytest.Fault
		want   string
	}{
		{"no fault", nil, ""},
		{"used", []portkeytest.Fault{{Status: 500}}, ""},
		{"one of two", []portkeytest.Fault{{Status: 500}, {Status: 500}}, "1 of the faults"},
		{"two that change nothing", []portkeytest.Fault{{}, {}, {}}, "2 of the faults"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tb := &fakeTB{}
			gw := portkeytest.NewGateway(tb)
			gw.Next(tt.faults...)
			postChat(t, gw, portkeyHeader("Provider", "openai"), chatBody)
			checkErrors(t, tb.end(), tt.want)
		})
	}
}

func TestClient(t *testing.T) {
	// Not parallel: it sets environment variables, which Client must ignore.
	t.Setenv("PORTKEY_API_KEY", "from-the-environment")
	t.Setenv("PORTKEY_BASE_URL", "http://127.0.0.1:1/v1")
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	gw := portkeytest.NewGateway(t)
	resp, err := gw.Client().Post("https://api.openai.com/v1/chat/completions", "application/json",
		strings.NewReader(chatBody))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	checkEqual(t, "status", resp.StatusCode, http.StatusOK)
	requests := gw.Requests()
	if len(requests) != 1 {
		t.Fatalf("requests: got %d, want 1", len(requests))
	}
	checkEqual(t, "path", requests[0].Path, "/v1/chat/completions")
	checkEqual(t, "provider", requests[0].Provider(), "openai")
	checkEqual(t, "API key", requests[0].Header.Get("X-Portkey-Api-Key"), "portkeytest")
	if first, second := gw.Client(), gw.Client(); first != second {
		t.Error("got two clients, want the same one for each call")
	}
}

func TestCloseCancelsRequestsInProgress(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name    string
		prepare func(gw *portkeytest.Gateway, started chan<- struct{})
	}{
		{"handler that waits for its context", func(gw *portkeytest.Gateway, started chan<- struct{}) {
			gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(started)
				<-r.Context().Done()
			}))
		}},
		{"endless stream", func(gw *portkeytest.Gateway, started chan<- struct{}) {
			gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "data: {}\n\n")
				w.(http.Flusher).Flush()
				close(started)
				<-r.Context().Done()
			}))
		}},
		{"stalled stream", func(gw *portkeytest.Gateway, started chan<- struct{}) {
			gw.Next(portkeytest.Fault{Stall: true})
			gw.Handle("/", streamHandler(func() { close(started) }))
		}},
		{"stream of comments", func(gw *portkeytest.Gateway, started chan<- struct{}) {
			gw.Next(portkeytest.Fault{CommentsOnly: true})
			gw.Handle("/", streamHandler(func() { close(started) }))
		}},
		{"delay after a fallback", func(gw *portkeytest.Gateway, started chan<- struct{}) {
			gw.Next(portkeytest.Fault{}, portkeytest.Fault{Delay: time.Hour})
			gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusServiceUnavailable)
				close(started)
			}))
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.Start()
			started, finished := make(chan struct{}), make(chan struct{})
			tt.prepare(gw, started)
			go func() {
				defer close(finished)
				config := `{"strategy":{"mode":"fallback"},` + twoTargets + `}`
				trySend(t, gw, "POST", "/chat/completions", portkeyHeader("Config", config), `{"stream":true}`)
			}()
			<-started
			gw.Close()
			<-finished
		})
	}
}

// streamHandler responds with an event stream and calls done.
func streamHandler(done func()) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: {}\n\ndata: [DONE]\n\n")
		done()
	})
}

func TestHandleTakesPatternsThatBeginWithV1(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ pattern, method, path, want string }{
		{"POST /v1/chat/completions", "POST", "/chat/completions", "/chat/completions"},
		{"/v1/models/{id}", "GET", "/models/m1", "/models/m1"},
		{"/v1/", "GET", "/files", "/files"},
		{"/v1/models", "GET", "/v1/models", "/v1/models"}, // such as that of Together AI, whose base URL has no version
		{"/a/v1/files", "GET", "/a/v1/files", "/a/v1/files"},
	} {
		t.Run(tt.pattern, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.NewGateway(t)
			gw.Handle(tt.pattern, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				io.WriteString(w, `{"path":"`+r.URL.Path+`"}`)
			}))
			_, body := send(t, gw, tt.method, tt.path, portkeyHeader("Provider", "openai"), `{}`)
			checkEqual(t, "body", body, `{"path":"`+tt.want+`"}`)
		})
	}
	t.Run("only at the start", func(t *testing.T) {
		t.Parallel()
		gw := portkeytest.NewGateway(t)
		gw.Handle("/models/v1/{id}", http.NotFoundHandler())
		resp, _ := send(t, gw, "GET", "/models/m1", portkeyHeader("Provider", "openai"), "")
		checkEqual(t, "status", resp.StatusCode, 200)
	})
}

func TestHandle(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Handle("POST /chat/completions", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if len(body) == 0 {
			body = []byte(`"no body"`)
		}
		w.Header().Set("X-Request-Id", "r1")
		io.WriteString(w, `{"path":"`+r.URL.Path+`","trace":"`+r.Header.Get("X-Portkey-Trace-Id")+
			`","body":`+string(body)+`}`)
	}))
	gw.Handle("GET /models/{id...}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Portkey-Cache-Status", "HIT")
		io.WriteString(w, r.PathValue("id")+" "+r.URL.Query().Get("q"))
	}))

	t.Run("response", func(t *testing.T) {
		resp, body := postChat(t, gw, portkeyHeader("Provider", "openai", "Trace-Id", "t1"), `{}`)
		checkEqual(t, "body", body, `{"path":"/chat/completions","trace":"t1","body":{}}`)
		checkEqual(t, "the gateway's header", resp.Header.Get("X-Portkey-Trace-Id"), "t1")
		checkEqual(t, "the handler's header", resp.Header.Get("X-Request-Id"), "r1")
		checkEqual(t, "content type", resp.Header.Get("Content-Type"), "application/json")
	})
	t.Run("request without a content type has no body", func(t *testing.T) {
		header := portkeyHeader("Provider", "openai")
		header.Del("Content-Type")
		_, body := postChat(t, gw, header, `{}`)
		checkEqual(t, "body", body, `{"path":"/chat/completions","trace":"","body":"no body"}`)
	})
	t.Run("path value and query", func(t *testing.T) {
		_, body := send(t, gw, "GET", "/models/org/m%201?q=x", portkeyHeader("Provider", "openai"), "")
		checkEqual(t, "body", body, "org/m 1 x")
	})
	t.Run("the handler's x-portkey header replaces the gateway's", func(t *testing.T) {
		resp, _ := send(t, gw, "GET", "/models/m1", portkeyHeader("Provider", "openai"), "")
		checkEqual(t, "cache status", resp.Header.Get("X-Portkey-Cache-Status"), "HIT")
	})
	t.Run("other path gets the default response", func(t *testing.T) {
		_, body := send(t, gw, "GET", "/files", portkeyHeader("Provider", "openai"), "")
		checkContains(t, "body", body, `"object":"list"`)
	})
	t.Run("other method gets the default response", func(t *testing.T) {
		_, body := send(t, gw, "GET", "/chat/completions", portkeyHeader("Provider", "openai"), "")
		checkContains(t, "body", body, "Invalid URL (GET /v1/chat/completions)")
	})
	for _, pattern := range []string{"POST /chat/completions", "POST /v1/chat/completions"} {
		t.Run("duplicate pattern panics: "+pattern, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("got no panic")
				}
			}()
			gw.Handle(pattern, http.NotFoundHandler())
		})
	}
}

func TestRequestThatTheProviderReceives(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, method, path, provider, want string }{
		{"path and query", "GET", "/models?limit=3", "openai", "GET /models?limit=3"},
		{"HEAD becomes GET", "HEAD", "/models", "openai", "GET /models"},
		{"path below /proxy", "GET", "/proxy/chat/completions", "openai", "GET /chat/completions"},
		{"base URL for an endpoint that the provider does not support", "GET", "/files", "groq", "GET /"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.NewGateway(t)
			received := make(chan string, 1)
			gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				received <- r.Method + " " + r.URL.RequestURI()
			}))
			send(t, gw, tt.method, tt.path, http.Header{"X-Portkey-Provider": {tt.provider}}, "")
			select {
			case got := <-received:
				checkEqual(t, "request", got, tt.want)
			default:
				t.Error("no request reached the handler")
			}
		})
	}
}

// A config's key must not hide that a proxied endpoint sends the client's credential.
func TestCredentialThatTheProviderReceives(t *testing.T) {
	t.Parallel()
	const config = `{"provider":"openai","api_key":"config"}`
	for _, tt := range []struct{ name, path, client, want string }{
		{"translated endpoint", "/chat/completions", "Bearer client", "Bearer config"},
		{"proxied endpoint", "/rerank", "Bearer client", "Bearer client"},
		{"proxied endpoint, no client credential", "/rerank", "", "Bearer config"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.NewGateway(t)
			received := make(chan string, 1)
			gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				received <- r.Header.Get("Authorization")
			}))
			h := http.Header{"X-Portkey-Config": {config}, "Content-Type": {"application/json"}}
			if tt.client != "" {
				h.Set("Authorization", tt.client)
			}
			send(t, gw, "POST", tt.path, h, `{}`)
			checkEqual(t, "Authorization", <-received, tt.want)
		})
	}
}

func TestStreamsAreNotBuffered(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	eventRead := make(chan struct{})
	gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			io.WriteString(w, "data: {}\n\n")
			w.(http.Flusher).Flush()
			<-eventRead
		}
	}))
	url := gw.URL() + "/chat/completions"
	req, err := http.NewRequestWithContext(t.Context(), "POST", url, strings.NewReader(`{"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = portkeyHeader("Provider", "openai")
	resp, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for range 3 {
		if _, err := io.ReadFull(resp.Body, make([]byte, len("data: {}\n\n"))); err != nil {
			t.Fatal(err)
		}
		eventRead <- struct{}{}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	var mu sync.Mutex
	statusCounts := map[int]int{}
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			if i < 10 {
				gw.Next(portkeytest.Fault{Status: 429}, portkeytest.Fault{})
				gw.Handle("GET /models/m"+string(rune('a'+i)), http.NotFoundHandler())
			}
			gw.Requests()
			resp, _, err := trySend(t, gw, "POST", "/chat/completions", portkeyHeader("Provider", "openai"), chatBody)
			if err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			defer mu.Unlock()
			statusCounts[resp.StatusCode]++
		}()
	}
	wg.Wait()
	checkEqual(t, "requests", len(gw.Requests()), 40)
	checkEqual(t, "responses", statusCounts[200]+statusCounts[429], 40)

	for range 20 { // use up the remaining faults
		resp, _ := postChat(t, gw, portkeyHeader("Provider", "openai"), chatBody)
		statusCounts[resp.StatusCode]++
	}
	checkEqual(t, "429 responses", statusCounts[429], 10)
}
