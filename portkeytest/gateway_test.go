package portkeytest_test

import (
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

// client is apart from http.DefaultClient, whose idle connections a Gateway that
// closes would close under another test's hands.
var client = &http.Client{Transport: new(http.Transport)}

const hi = `{"model":"m1","messages":[{"role":"user","content":"hi"}]}`

// on returns headers of Portkey, by their names without the prefix, for a JSON body.
func on(pairs ...string) http.Header {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(pairs); i += 2 {
		h.Add("X-Portkey-"+pairs[i], pairs[i+1])
	}
	return h
}

// send sends a request that must be answered, to a path behind the gateway's URL.
func send(t *testing.T, gw *portkeytest.Gateway, method, path string, header http.Header, body string) (*http.Response, string) {
	t.Helper()
	resp, b, err := try(t, gw, method, path, header, body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, b
}

func try(t *testing.T, gw *portkeytest.Gateway, method, path string, header http.Header, body string) (*http.Response, string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, gw.URL()+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, string(b), err
}

// post sends a chat completion.
func post(t *testing.T, gw *portkeytest.Gateway, header http.Header, body string) (*http.Response, string) {
	t.Helper()
	return send(t, gw, "POST", "/chat/completions", header, body)
}

func check[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func contains(t *testing.T, what, got, want string) {
	t.Helper()
	if !strings.Contains(got, want) {
		t.Errorf("%s: got %q, want %q in it", what, got, want)
	}
}

func TestRequestsAreWhatArrived(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	for text, want := range map[string]portkey.Metadata{
		`{"a":"1"}`: {"a": "1"}, `{"a":"1","b":2}`: nil, `_user=u1`: nil,
		`{"a":"g\u00f4ld"}`: {"a": "gôld"}, `{"a":"gôld"}`: {"a": "gÃ´ld"}, // read as Latin-1
	} {
		n := len(gw.Requests())
		post(t, gw, on("Config", "pc-1", "Metadata", text, "Trace-Id", "t1", "Provider", "groq"), `{}`)
		got := gw.Requests()[n]
		if got.Config() != "pc-1" || got.TraceID() != "t1" || got.Provider() != "groq" ||
			!reflect.DeepEqual(got.Metadata(), want) || string(got.Body) != `{}` {
			t.Errorf("%s: got %+v with metadata %v, want %v", text, got, got.Metadata(), want)
		}
	}
	post(t, gw, on("Trace-Id", "a", "Trace-Id", "b"), `{`)
	got := gw.Requests()[5]
	check(t, "two traces of a request that is refused", got.TraceID(), "a, b")
	check(t, "path", got.Method+" "+got.Path, "POST /v1/chat/completions")

	gw.Requests()[0] = portkeytest.Request{}
	if gw.Requests()[0].Config() != "pc-1" {
		t.Error("a change of what Requests returned is seen by others")
	}
}

func TestGatewayStopsWithTheTest(t *testing.T) {
	t.Parallel()
	var gw *portkeytest.Gateway
	t.Run("inner", func(t *testing.T) { gw = portkeytest.NewGateway(t) })
	if resp, err := client.Get(gw.URL()); err == nil {
		resp.Body.Close()
		t.Error("the gateway still answers")
	}
}

func TestCloseEndsTheRequestsThatAreGoingOn(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(gw *portkeytest.Gateway, reached chan<- struct{}){
		"a handler that waits for its client": func(gw *portkeytest.Gateway, reached chan<- struct{}) {
			gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				close(reached)
				<-r.Context().Done()
			}))
		},
		"a stream without end": func(gw *portkeytest.Gateway, reached chan<- struct{}) {
			gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "text/event-stream")
				io.WriteString(w, "data: {}\n\n")
				w.(http.Flusher).Flush()
				close(reached)
				<-r.Context().Done()
			}))
		},
		"a delay, after a first target that fails": func(gw *portkeytest.Gateway, reached chan<- struct{}) {
			gw.Next(portkeytest.Fault{}, portkeytest.Fault{Delay: time.Hour})
			gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				w.WriteHeader(http.StatusServiceUnavailable)
				close(reached)
			}))
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.Start()
			reached, ended := make(chan struct{}), make(chan struct{})
			prepare(gw, reached)
			go func() {
				defer close(ended)
				try(t, gw, "POST", "/chat/completions", on("Config", `{"strategy":{"mode":"fallback"},"targets":[`+
					`{"provider":"openai","api_key":"k1"},{"provider":"openai","api_key":"k2"}]}`), `{"stream":true}`)
			}()
			<-reached
			gw.Close()
			<-ended
		})
	}
}

func TestGatewayRefuses(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t.Errorf("%s %s: reached the handler", r.Method, r.URL)
	}))
	gw.Next(portkeytest.Fault{Exception: "used up"})
	failure := func(message string) string { return `{"status":"failure","message":"` + message + `"}` }
	text := on("Provider", "openai")
	text.Set("Content-Type", "text/plain")
	for _, tt := range []struct {
		name, method, path string
		header             http.Header
		body               string
		status             int
		want               string
	}{
		{"neither provider nor config", "POST", "/chat/completions", nil, hi, 400, failure("Either x-portkey-config or x-portkey-provider header is required")},
		{"unknown provider", "POST", "/chat/completions", on("Provider", "OpenAI"), hi, 400, failure("Invalid provider passed")},
		{"content type", "POST", "/chat/completions", text, hi, 400, failure("Invalid content type passed")},
		{"private host", "GET", "/models", on("Provider", "openai", "Custom-Host", "http://192.168.0.1/v1"), "", 400, failure("Invalid custom host")},
		{"config that is no JSON", "POST", "/chat/completions", on("Config", `{"provider"`), hi, 400, failure("Invalid config passed. You need to pass a valid json")},
		{"config without provider", "POST", "/chat/completions", on("Config", `{"retry":{"attempts":1}}`), hi, 400,
			failure("Either x-portkey-provider needs to be passed. Or the x-portkey-config header should have a valid config with provider details in it.")},
		{"config with faults", "POST", "/chat/completions", on("Config", `{"strategy":{"mode":"best"},"targets":[{"provider":"nope","api_key":"k"},{"provider":"openai","api_key":"k","custom_host":"http://10.0.0.1"}]}`), hi, 400,
			`{"status":"failure","message":"Invalid config passed","errors":["path: strategy,mode, message: is not one of single, loadbalance, fallback, conditional","path: targets,0,provider, message: Invalid 'provider' value. Must be one of: anthropic,`},
		{"old config", "POST", "/chat/completions", on("Config", `{"provider":"openai","api_key":"k","options":[1]}`), hi, 400, failure("This version of config is not supported in this route. Please migrate to the latest version")},
		{"broken body", "POST", "/chat/completions", on("Provider", "openai"), `{`, 500, failure("Something went wrong")},
		{"broken body, proxied", "POST", "/rerank", on("Provider", "openai"), ``, 500, `{"status":"failure","message":"Proxy error: `},
		{"endpoint that the provider lacks", "POST", "/embeddings", on("Provider", "groq"), `{}`, 500, failure("embed is not supported by groq")},
		{"provider that is not there", "GET", "/models", on("Provider", "cortex"), "", 500, failure("Provider cortex not found")},
		{"method", "PUT", "/models", on("Provider", "openai"), `{}`, 404, `{"message":"Not Found","ok":false}`},
		{"websocket", "GET", "/realtime", on("Provider", "openai"), "", 404, `{"message":"Not Found","ok":false}`},
		{"headers too long", "GET", "/models", on("Provider", "openai", "Metadata", strings.Repeat("a", 16<<10)), "", 431, ``},
	} {
		resp, body := send(t, gw, tt.method, tt.path, tt.header, tt.body)
		if resp.StatusCode != tt.status || !strings.HasPrefix(body, tt.want) || tt.want == "" && body != "" {
			t.Errorf("%s: got %d %s, want %d %s", tt.name, resp.StatusCode, body, tt.status, tt.want)
		}
		exception := resp.Header.Get("X-Portkey-Gateway-Exception") == "true"
		check(t, tt.name+": exception", exception, strings.Contains(body, " is not supported by ") || strings.Contains(body, " not found"))
		for key := range resp.Header {
			if strings.HasPrefix(key, "X-Portkey-") && key != "X-Portkey-Gateway-Exception" {
				t.Errorf("%s: got header %s, want none", tt.name, key)
			}
		}
	}
	for path, want := range map[string]string{"/": "200 OK AI Gateway says hey!", "/chat/completions": `404 Not Found {"message":"Not Found","ok":false}`} {
		resp, err := client.Get(strings.TrimSuffix(gw.URL(), "/v1") + path)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		check(t, "outside of the base URL", resp.Status+" "+string(b), want)
	}
	// Nothing of this was a call.
	_, body := post(t, gw, on("Provider", "openai"), hi)
	check(t, "the first call", body, failure("used up"))
}

func TestBodiesAreBounded(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	resp, body := send(t, gw, "POST", "/files", on("Provider", "openai"), strings.Repeat("a", 32<<20+1))
	check(t, "status", resp.StatusCode, http.StatusRequestEntityTooLarge)
	contains(t, "body", body, "33554432 bytes")
	check(t, "requests", len(gw.Requests()), 0)
}

func TestGatewayTakesWhatOnlyTheHostedOneKnows(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	for _, tt := range []struct {
		path   string
		header http.Header
		want   string // provider
	}{
		{"/chat/completions", on("Config", "pc-1"), "openai"},
		{"/chat/completions", on("Config", "cf-1", "Provider", "groq"), "groq"},
		{"/chat/completions", on("Virtual-Key", "vk"), "openai"},
		{"/messages", on("Virtual-Key", "vk"), "anthropic"},
		{"/messages", on("Provider", "@claude"), "@claude"},
		{"/prompts/pp-1/completions", on("Provider", "openai"), "openai"},
		{"/chat/completions", on("Config", `{"strategy":{"mode":"fallback"},"targets":[{"provider":"@one"},{"virtual_key":"vk"}]}`), "@one"},
		{"/chat/completions", on("Config", `{"virtual_key":"vk"}`), "openai"},
	} {
		resp, body := send(t, gw, "POST", tt.path, tt.header, hi)
		check(t, tt.path+" "+body, resp.StatusCode, 200)
		check(t, tt.path, resp.Header.Get("X-Portkey-Provider"), tt.want)
		contains(t, tt.path, body, "You said: hi")
	}
}

func TestGatewaySaysWhatItDid(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	resp, _ := post(t, gw, on("Provider", "openai", "Trace-Id", "t1"), hi)
	check(t, "ResponseInfo", portkey.ParseResponse(resp.Header),
		portkey.ResponseInfo{TraceID: "t1", Provider: "openai", LastUsedOption: "config", CacheStatus: portkey.CacheDisabled})
	resp, _ = post(t, gw, on("Provider", "openai"), hi)
	if got := resp.Header.Values("X-Portkey-Trace-Id"); !slices.Equal(got, []string{""}) {
		t.Errorf("trace without one: got %q, want an empty header", got)
	}
	resp, _ = send(t, gw, "GET", "/models", on("Provider", "groq"), "")
	check(t, "provider of a proxied request", resp.Header.Get("X-Portkey-Provider"), "groq")
}

// The targets are told apart by their keys.
func TestGatewayFollowsTheConfig(t *testing.T) {
	t.Parallel()
	const targets = `"targets":[{"name":"a","provider":"openai","api_key":"k1"},{"name":"b","provider":"groq","api_key":"k2"}]`
	conditional := func(query string) string {
		return `{"strategy":{"mode":"conditional","default":"a","conditions":[{"query":` + query + `,"then":"b"}]},` + targets + `}`
	}
	for _, tt := range []struct {
		name, config string
		faults       []portkeytest.Fault
		status       int
		option       string
		retries      string
		calls        string
	}{
		{"one provider", `{"provider":"groq","api_key":"k2"}`, nil, 200, "config", "0", "groq k2"},
		{"no provider", `{"cache":{"mode":"simple"}}`, nil, 200, "config", "0", "openai client"},
		{"single", `{"strategy":{"mode":"single"},` + targets + `}`, nil, 200, "config.targets[0]", "0", "openai k1"},
		{"fallback", `{"strategy":{"mode":"fallback"},` + targets + `}`, nil, 200, "config.targets[0]", "0", "openai k1"},
		{"fallback after a failure", `{"strategy":{"mode":"fallback"},` + targets + `}`, []portkeytest.Fault{{Status: 503}}, 200, "config.targets[1]", "0", "groq k2"},
		{"fallback after failures", `{"strategy":{"mode":"fallback"},` + targets + `}`, []portkeytest.Fault{{Status: 503}, {Status: 502}}, 502, "config.targets[1]", "0", ""},
		{"fallback on other statuses", `{"strategy":{"mode":"fallback","on_status_codes":[429]},` + targets + `}`, []portkeytest.Fault{{Status: 503}}, 503, "config.targets[0]", "0", ""},
		{"fallback after an exception", `{"strategy":{"mode":"fallback"},` + targets + `}`, []portkeytest.Fault{{Exception: "oh"}}, 500, "", "", ""},
		{"fallback after a timeout", `{"request_timeout":1,"strategy":{"mode":"fallback"},` + targets + `}`, []portkeytest.Fault{{Delay: time.Hour}, {Delay: time.Hour}}, 408, "config.targets[1]", "0", ""},
		{"loadbalance", `{"strategy":{"mode":"loadbalance"},"targets":[{"provider":"openai","api_key":"k1","weight":0},{"provider":"groq","api_key":"k2"}]}`, nil, 200, "config.targets[1]", "0", "groq k2"},
		{"targets of targets", `{"strategy":{"mode":"fallback"},"targets":[{"strategy":{"mode":"single"},` + targets + `},{"provider":"openai","api_key":"k3"}]}`,
			[]portkeytest.Fault{{Status: 500}}, 200, "config.targets[1]", "0", "openai k3"},
		{"retry", `{"retry":{"attempts":2}}`, []portkeytest.Fault{{Status: 429}}, 200, "config", "1", "openai client"},
		{"retries", `{"retry":{"attempts":2}}`, []portkeytest.Fault{{Status: 429}, {Status: 503}}, 200, "config", "2", "openai client"},
		{"retries used up", `{"retry":{"attempts":2}}`, []portkeytest.Fault{{Status: 429}, {Status: 503}, {Status: 500}}, 500, "config", "-1", ""},
		{"no retry of another status", `{"retry":{"attempts":2}}`, []portkeytest.Fault{{Status: 400}}, 400, "config", "0", ""},
		{"retry of another status", `{"retry":{"attempts":2,"on_status_codes":[400]}}`, []portkeytest.Fault{{Status: 400}}, 200, "config", "1", "openai client"},
		{"retry of a target", `{"retry":{"attempts":1},"strategy":{"mode":"fallback"},` + targets + `}`, []portkeytest.Fault{{Status: 500}, {Status: 500}, {Status: 500}}, 200, "config.targets[1]", "1", "groq k2"},
		{"condition", conditional(`{"metadata.plan":"paid"}`), nil, 200, "config.targets[1]", "0", "groq k2"},
		{"condition that does not hold", conditional(`{"metadata.plan":"free"}`), nil, 200, "config.targets[0]", "0", "openai k1"},
		{"condition without metadata", conditional(`{"metadata.nope":{"$eq":"paid"}}`), nil, 200, "config.targets[0]", "0", "openai k1"},
		{"condition in Latin-1", conditional(`{"metadata.gold":{"$eq":"gÃ´ld"}}`), nil, 200, "config.targets[0]", "0", "openai k1"},
		{"$ne", conditional(`{"metadata.plan":{"$ne":"free"}}`), nil, 200, "config.targets[1]", "0", "groq k2"},
		{"$in", conditional(`{"metadata.plan":{"$in":["free","paid"]}}`), nil, 200, "config.targets[1]", "0", "groq k2"},
		{"$nin", conditional(`{"metadata.plan":{"$nin":["free","paid"]}}`), nil, 200, "config.targets[0]", "0", "openai k1"},
		{"$gt", conditional(`{"metadata.n":{"$gt":4}}`), nil, 200, "config.targets[1]", "0", "groq k2"},
		{"$gte and $lt", conditional(`{"metadata.n":{"$gte":5,"$lt":5}}`), nil, 200, "config.targets[0]", "0", "openai k1"},
		{"$lte", conditional(`{"metadata.n":{"$lte":"5"}}`), nil, 200, "config.targets[1]", "0", "groq k2"},
		{"a number that is none", conditional(`{"metadata.plan":{"$lte":5}}`), nil, 200, "config.targets[0]", "0", "openai k1"},
		{"text is no number", conditional(`{"metadata.n":5}`), nil, 200, "config.targets[0]", "0", "openai k1"},
		{"$regex", conditional(`{"params.model":{"$regex":"^m\\d$"}}`), nil, 200, "config.targets[1]", "0", "groq k2"},
		{"$and", conditional(`{"$and":[{"metadata.plan":"paid"},{"metadata.n":"6"}]}`), nil, 200, "config.targets[0]", "0", "openai k1"},
		{"$or", conditional(`{"$or":[{"metadata.plan":"free"},{"url.pathname":"/v1/chat/completions"}]}`), nil, 200, "config.targets[1]", "0", "groq k2"},
		{"$or of none", conditional(`{"$or":[{"metadata.plan":"free"},{"params.stream":true}]}`), nil, 200, "config.targets[0]", "0", "openai k1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.NewGateway(t)
			var mu sync.Mutex
			var calls []string
			gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				mu.Lock()
				defer mu.Unlock()
				calls = append(calls, r.Header.Get("X-Portkey-Provider")+" "+strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer "))
				io.WriteString(w, `{}`)
			}))
			gw.Next(tt.faults...)
			header := on("Config", tt.config, "Metadata", `{"plan":"paid","n":"5","gold":"gôld"}`)
			if !strings.Contains(tt.config, `"provider"`) {
				header.Set("X-Portkey-Provider", "openai")
			}
			if tt.name == "condition in Latin-1" {
				header.Set("X-Portkey-Config", strings.Replace(tt.config, "gÃ´ld", `g\u00f4ld`, 1))
			}
			header.Set("Authorization", "Bearer client")
			resp, body := post(t, gw, header, hi)
			if resp.StatusCode != tt.status {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, tt.status)
			}
			check(t, "option", resp.Header.Get("X-Portkey-Last-Used-Option-Index"), tt.option)
			check(t, "retries", resp.Header.Get("X-Portkey-Retry-Attempt-Count"), tt.retries)
			check(t, "calls", strings.Join(calls, ", "), tt.calls)
		})
	}
}

func TestLoadbalanceGoesByWeight(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	used := map[string]int{}
	for range 200 {
		resp, _ := send(t, gw, "GET", "/models", on("Config", `{"strategy":{"mode":"loadbalance"},"targets":[`+
			`{"provider":"openai","api_key":"k","weight":0.5},{"provider":"groq","api_key":"k","weight":0.5},`+
			`{"provider":"x-ai","api_key":"k","weight":0}]}`), "")
		used[resp.Header.Get("X-Portkey-Last-Used-Option-Index")]++
	}
	if used["config.targets[0]"] < 50 || used["config.targets[1]"] < 50 || len(used) != 2 {
		t.Errorf("got %v, want half of 200 each of the first two", used)
	}
}

func TestHandle(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Handle("POST /chat/completions", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		w.Header().Set("X-Request-Id", "r1")
		io.WriteString(w, `{"path":"`+r.URL.Path+`","trace":"`+r.Header.Get("X-Portkey-Trace-Id")+`","length":`+strings.Repeat("1", len(b))+`}`)
	}))
	gw.Handle("GET /models/{id...}", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Portkey-Cache-Status", "HIT")
		io.WriteString(w, r.PathValue("id")+" "+r.URL.Query().Get("q"))
	}))
	resp, body := post(t, gw, on("Provider", "openai", "Trace-Id", "t1"), `{}`)
	check(t, "answer", body, `{"path":"/chat/completions","trace":"t1","length":11}`)
	check(t, "trace", resp.Header.Get("X-Portkey-Trace-Id"), "t1")
	check(t, "the handler's header", resp.Header.Get("X-Request-Id"), "r1")

	header := on("Provider", "openai")
	header.Del("Content-Type")
	_, body = post(t, gw, header, `{}`)
	check(t, "without content type", body, `{"status":"failure","message":"Something went wrong"}`) // "length":} is no JSON

	resp, body = send(t, gw, "GET", "/models/org/m%201?q=x", on("Provider", "openai"), "")
	check(t, "path value and query", body, "org/m 1 x")
	check(t, "the handler's own status of the cache", resp.Header.Get("X-Portkey-Cache-Status"), "HIT")
	_, body = send(t, gw, "GET", "/proxy/models/m1", on("Provider", "openai"), "")
	check(t, "behind /proxy", body, "m1 ")

	_, body = send(t, gw, "GET", "/files", on("Provider", "openai"), "")
	contains(t, "what is not handled", body, `"object":"list"`)
	_, body = send(t, gw, "GET", "/chat/completions", on("Provider", "openai"), "")
	contains(t, "another method", body, "Invalid URL (GET /v1/chat/completions)")

	defer func() {
		if recover() == nil {
			t.Error("the same pattern twice: no panic")
		}
	}()
	gw.Handle("POST /chat/completions", http.NotFoundHandler())
}

// What a provider answers comes back as from the gateway.
func TestAnswersAreTranslated(t *testing.T) {
	t.Parallel()
	const failed = `{"error":{"message":"m","type":"t","param":null,"code":"c"}}`
	for _, tt := range []struct {
		name, path, provider string
		status               int
		contentType, body    string
		wantStatus           int
		wantType, want       string
	}{
		{"error", "/chat/completions", "openai", 429, "application/json", failed, 429, "application/json",
			`{"error":{"code":"c","message":"openai error: m","param":null,"type":"t"},"provider":"openai"}`},
		{"error of Anthropic", "/messages", "anthropic", 529, "application/json", `{"type":"error","error":{"type":"overloaded_error","message":"m"}}`, 529, "application/json",
			`{"error":{"code":null,"message":"anthropic error: m","param":null,"type":"overloaded_error"},"provider":"anthropic"}`},
		{"error, proxied", "/rerank", "openai", 429, "application/json", failed, 429, "application/json", failed},
		{"error of embeddings", "/embeddings", "openai", 429, "application/json", failed, 429, "application/json", failed},
		{"error of another form", "/chat/completions", "openai", 422, "application/json", `{"detail":"d"}`, 422, "application/json", `{"detail":"d"}`},
		{"412", "/chat/completions", "openai", 412, "application/json", failed, 412, "application/json", failed},
		{"page", "/chat/completions", "openai", 502, "text/html; charset=utf-8", "<p>", 502, "application/json", `{"html-message":"<p>"}`},
		{"page, proxied", "/rerank", "openai", 502, "text/html", "<p>", 502, "text/html", `<p>`},
		{"broken JSON", "/chat/completions", "openai", 200, "application/json", `{"a":`, 500, "application/json", `{"status":"failure","message":"Something went wrong"}`},
		{"JSON of another provider", "/chat/completions", "groq", 200, "application/json", `{"id":"c"}`, 200, "application/json", `{"id":"c","provider":"groq"}`},
		{"JSON that is no object", "/chat/completions", "groq", 200, "application/json", `[1]`, 200, "application/json", `[1]`},
		{"sound", "/audio/speech", "openai", 200, "audio/mpeg", "\xff\x00", 200, "audio/mpeg", "\xff\x00"},
		{"nothing", "/chat/completions", "openai", 204, "", "", 204, "", ""},
	} {
		gw := portkeytest.NewGateway(t)
		gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header()["Content-Type"] = nil
			if tt.contentType != "" {
				w.Header().Set("Content-Type", tt.contentType)
			}
			w.Header().Set("Retry-After", "7")
			w.WriteHeader(tt.status)
			io.WriteString(w, tt.body)
		}))
		resp, body := send(t, gw, "POST", tt.path, on("Provider", tt.provider), `{}`)
		if resp.StatusCode != tt.wantStatus || body != tt.want || resp.Header.Get("Content-Type") != tt.wantType {
			t.Errorf("%s: got %d %q %s, want %d %q %s", tt.name, resp.StatusCode, resp.Header.Get("Content-Type"), body, tt.wantStatus, tt.wantType, tt.want)
		}
		if exception := tt.status == 200 && tt.wantStatus == 500; !exception {
			check(t, tt.name+": provider", resp.Header.Get("X-Portkey-Provider"), tt.provider)
			check(t, tt.name+": retry-after", resp.Header.Get("Retry-After"), "7")
		}
	}
}

func TestProviderThatHangsUp(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/halfway") || r.Header.Get("X-Halfway") != "" {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: half\n\n")
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	}))
	resp, body := post(t, gw, on("Provider", "openai"), hi)
	check(t, "status", resp.StatusCode, 500)
	contains(t, "body", body, `{"html-message":"Message: fetch failed `)
	check(t, "provider", resp.Header.Get("X-Portkey-Provider"), "openai")

	header := on("Provider", "openai")
	header.Set("X-Halfway", "1")
	_, body = post(t, gw, header, `{"stream":true}`)
	check(t, "a stream that breaks off ends as if it were whole", body, "data: half\n\n")
	if _, body, err := try(t, gw, "POST", "/halfway", on("Provider", "openai"), `{"stream":true}`); err == nil {
		t.Errorf("a proxied stream that breaks off: got %q and no error", body)
	}
}

// A stream arrives as it is written: each event waits for the one before to be read.
func TestStreamsAreNotBuffered(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	next := make(chan struct{})
	gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for range 3 {
			io.WriteString(w, "data: {}\n\n")
			w.(http.Flusher).Flush()
			<-next
		}
	}))
	req, err := http.NewRequestWithContext(t.Context(), "POST", gw.URL()+"/chat/completions", strings.NewReader(`{"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = on("Provider", "openai")
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for range 3 {
		if _, err := io.ReadFull(resp.Body, make([]byte, len("data: {}\n\n"))); err != nil {
			t.Fatal(err)
		}
		next <- struct{}{}
	}
}

func TestGatewayIsForManyGoroutines(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	var mu sync.Mutex
	statuses := map[int]int{}
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
			resp, _ := post(t, gw, on("Provider", "openai"), hi)
			mu.Lock()
			defer mu.Unlock()
			statuses[resp.StatusCode]++
		}()
	}
	wg.Wait()
	check(t, "requests", len(gw.Requests()), 40)
	check(t, "answers", statuses[200]+statuses[429], 40)
	for range 20 { // what is left of the faults
		resp, _ := post(t, gw, on("Provider", "openai"), hi)
		statuses[resp.StatusCode]++
	}
	check(t, "faults", statuses[429], 10)
}
