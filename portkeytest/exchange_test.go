package portkeytest_test

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

// twoTargets is a member of a config object. Each target has its own provider and API key.
const twoTargets = `"targets":[{"name":"a","provider":"openai","api_key":"k1"},` +
	`{"name":"b","provider":"groq","api_key":"k2"}]`

// A configResult describes how the gateway followed a config.
type configResult struct {
	status  int
	option  string // x-portkey-last-used-option-index
	retries string // x-portkey-retry-attempt-count
	calls   string // the provider and API key of each call that reached the handler
}

// sendWithConfig sends a chat completion whose credential is "client". A config without a provider is sent with
// x-portkey-provider: openai.
func sendWithConfig(t *testing.T, config, metadata string, faults ...portkeytest.Fault) configResult {
	t.Helper()
	gw := portkeytest.NewGateway(t)
	var mu sync.Mutex
	var calls []string
	gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		apiKey := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
		calls = append(calls, r.Header.Get("X-Portkey-Provider")+" "+apiKey)
		io.WriteString(w, `{}`)
	}))
	gw.Next(faults...)
	header := portkeyHeader("Config", config, "Metadata", metadata)
	header.Set("Authorization", "Bearer client")
	if !strings.Contains(config, `"provider"`) {
		header.Set("X-Portkey-Provider", "openai")
	}
	resp, _ := postChat(t, gw, header, chatBody)
	return configResult{
		status:  resp.StatusCode,
		option:  resp.Header.Get("X-Portkey-Last-Used-Option-Index"),
		retries: resp.Header.Get("X-Portkey-Retry-Attempt-Count"),
		calls:   strings.Join(calls, ", "),
	}
}

// statusFaults returns a Fault for each status.
func statusFaults(statuses ...int) []portkeytest.Fault {
	var faults []portkeytest.Fault
	for _, status := range statuses {
		faults = append(faults, portkeytest.Fault{Status: status})
	}
	return faults
}

func TestFollowsConfig(t *testing.T) {
	t.Parallel()
	const (
		single   = `{"strategy":{"mode":"single"},` + twoTargets + `}`
		fallback = `{"strategy":{"mode":"fallback"},` + twoTargets + `}`

		fallbackOn429       = `{"strategy":{"mode":"fallback","on_status_codes":[429]},` + twoTargets + `}`
		fallbackWithTimeout = `{"request_timeout":1,"strategy":{"mode":"fallback"},` + twoTargets + `}`
		fallbackWithRetry   = `{"retry":{"attempts":1},"strategy":{"mode":"fallback"},` + twoTargets + `}`

		loadbalance = `{"strategy":{"mode":"loadbalance"},"targets":[{"provider":"openai","api_key":"k1","weight":0},` +
			`{"provider":"groq","api_key":"k2"}]}`
		nested = `{"strategy":{"mode":"fallback"},"targets":[` + single + `,{"provider":"openai","api_key":"k3"}]}`

		retryTwice = `{"retry":{"attempts":2}}`
		retryOn400 = `{"retry":{"attempts":2,"on_status_codes":[400]}}`
	)
	timeout := portkeytest.Fault{Delay: time.Hour}
	for _, tt := range []struct {
		name, config string
		faults       []portkeytest.Fault
		want         configResult
	}{
		{"provider", `{"provider":"groq","api_key":"k2"}`, nil, configResult{200, "config", "0", "groq k2"}},
		{"no provider", `{"cache":{"mode":"simple"}}`, nil, configResult{200, "config", "0", "openai client"}},
		{"single", single, nil, configResult{200, "config.targets[0]", "0", "openai k1"}},
		{"loadbalance", loadbalance, nil, configResult{200, "config.targets[1]", "0", "groq k2"}},
		{"nested targets", nested, nil, configResult{200, "config.targets[0].targets[0]", "0", "openai k1"}},
		{"fallback from nested targets", nested, statusFaults(500),
			configResult{200, "config.targets[1]", "0", "openai k3"}},

		{"fallback without an error", fallback, nil, configResult{200, "config.targets[0]", "0", "openai k1"}},
		{"fallback after an error", fallback, statusFaults(503),
			configResult{200, "config.targets[1]", "0", "groq k2"}},
		{"all targets of a fallback fail", fallback, statusFaults(503, 502),
			configResult{502, "config.targets[1]", "0", ""}},
		{"fallback only on another status", fallbackOn429, statusFaults(503),
			configResult{503, "config.targets[0]", "0", ""}},
		{"no fallback after a gateway exception", fallback, []portkeytest.Fault{{Exception: "oh"}},
			configResult{500, "", "", ""}},
		{"fallback after a timeout", fallbackWithTimeout, []portkeytest.Fault{timeout, timeout},
			configResult{408, "config.targets[1]", "0", ""}},

		{"one retry", retryTwice, statusFaults(429), configResult{200, "config", "1", "openai client"}},
		{"two retries", retryTwice, statusFaults(429, 503), configResult{200, "config", "2", "openai client"}},
		{"all retries fail", retryTwice, statusFaults(429, 503, 500), configResult{500, "config", "-1", ""}},
		{"at most 5 retries", `{"retry":{"attempts":7}}`, statusFaults(500, 500, 500, 500, 500, 503),
			configResult{503, "config", "-1", ""}},
		{"no retry of 400", retryTwice, statusFaults(400), configResult{400, "config", "0", ""}},
		{"retry of 400", retryOn400, statusFaults(400), configResult{200, "config", "1", "openai client"}},
		{"targets inherit the retry", fallbackWithRetry, statusFaults(500, 500, 500),
			configResult{200, "config.targets[1]", "1", "groq k2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := sendWithConfig(t, tt.config, `{}`, tt.faults...)
			checkEqual(t, "result", got, tt.want)
		})
	}
}

func TestLoadBalanceUsesWeights(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	header := portkeyHeader("Config", `{"strategy":{"mode":"loadbalance"},"targets":[`+
		`{"provider":"openai","api_key":"k","weight":0.5},{"provider":"groq","api_key":"k","weight":0.5},`+
		`{"provider":"x-ai","api_key":"k","weight":0}]}`)
	counts := map[string]int{}
	for range 200 {
		resp, _ := send(t, gw, "GET", "/models", header, "")
		counts[resp.Header.Get("X-Portkey-Last-Used-Option-Index")]++
	}
	if counts["config.targets[0]"] < 50 || counts["config.targets[1]"] < 50 || len(counts) != 2 {
		t.Errorf("got %v, want about 100 for each of the first two targets", counts)
	}
}

func TestGatewayResponseHeaders(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	t.Run("all", func(t *testing.T) {
		resp, _ := postChat(t, gw, portkeyHeader("Provider", "openai", "Trace-Id", "t1"), chatBody)
		checkEqual(t, "ResponseInfo", portkey.ParseResponse(resp.Header), portkey.ResponseInfo{TraceID: "t1",
			Provider: "openai", LastUsedOption: "config", CacheStatus: portkey.CacheDisabled})
	})
	t.Run("empty trace ID if the request has none", func(t *testing.T) {
		resp, _ := postChat(t, gw, portkeyHeader("Provider", "openai"), chatBody)
		if got := resp.Header.Values("X-Portkey-Trace-Id"); !slices.Equal(got, []string{""}) {
			t.Errorf("got %q, want one empty value", got)
		}
	})
	t.Run("proxied request", func(t *testing.T) {
		resp, _ := send(t, gw, "GET", "/models", portkeyHeader("Provider", "groq"), "")
		checkEqual(t, "provider", resp.Header.Get("X-Portkey-Provider"), "groq")
	})
}

func TestProviderClosesConnection(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Handle("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Send-Event") != "" {
			w.Header().Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: first\n\n")
			w.(http.Flusher).Flush()
		}
		panic(http.ErrAbortHandler)
	}))
	afterFirstEvent := portkeyHeader("Provider", "openai")
	afterFirstEvent.Set("X-Send-Event", "1")

	t.Run("before the response", func(t *testing.T) {
		resp, body := postChat(t, gw, portkeyHeader("Provider", "openai"), chatBody)
		checkEqual(t, "status", resp.StatusCode, 500)
		checkContains(t, "body", body, `{"html-message":"Message: fetch failed `)
		checkEqual(t, "provider", resp.Header.Get("X-Portkey-Provider"), "openai")
	})
	t.Run("in a translated stream, which ends without an error", func(t *testing.T) {
		_, body := postChat(t, gw, afterFirstEvent, `{"stream":true}`)
		checkEqual(t, "body", body, "data: first\n\n")
	})
	t.Run("in a proxied stream, which breaks off", func(t *testing.T) {
		_, body, err := trySend(t, gw, "POST", "/rerank", afterFirstEvent, `{"stream":true}`)
		if err == nil {
			t.Errorf("got %q and no error", body)
		}
	})
}

func TestRequestTimeoutDoesNotEndAStream(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	gw := portkeytest.NewGateway(t)
	gw.Handle("/chat/completions", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		time.Sleep(timeout + 100*time.Millisecond)
		io.WriteString(w, "data: 2\n\n")
	}))
	_, body := postChat(t, gw, portkeyHeader("Provider", "openai", "Request-Timeout", "1000"), `{"stream":true}`)
	checkEqual(t, "stream", body, "data: 1\n\ndata: 2\n\n")
}
