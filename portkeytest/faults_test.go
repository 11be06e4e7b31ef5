package portkeytest_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

func TestFaultStatus(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	for status, want := range map[int]string{
		400: `{"error":{"code":null,"message":"openai error: 400 Bad Request","param":null,"type":"invalid_request_error"},"provider":"openai"}`,
		401: `{"error":{"code":"invalid_api_key","message":"openai error: 401 Unauthorized","param":null,"type":"invalid_request_error"},"provider":"openai"}`,
		408: `{"error":{"message":"408 Request Timeout","type":"timeout_error","param":null,"code":null}}`,
		429: `{"error":{"code":"rate_limit_exceeded","message":"openai error: 429 Too Many Requests","param":null,"type":"requests"},"provider":"openai"}`,
		503: `{"error":{"code":null,"message":"openai error: 503 Service Unavailable","param":null,"type":"server_error"},"provider":"openai"}`,
	} {
		gw.Next(portkeytest.Fault{Status: status, RetryAfter: 1500 * time.Millisecond})
		resp, body := post(t, gw, on("Provider", "openai"), hi)
		check(t, "status", resp.StatusCode, status)
		check(t, "body", body, want)
		check(t, "retry-after", resp.Header.Get("Retry-After"), "2")
		check(t, "provider", resp.Header.Get("X-Portkey-Provider"), "openai")
	}
	gw.Next(portkeytest.Fault{Status: 503})
	_, body := send(t, gw, "GET", "/models", on("Provider", "openai"), "")
	check(t, "a proxied request", body, `{"error":{"message":"503 Service Unavailable","type":"server_error","param":null,"code":null}}`)
}

func TestFaultsAreUsedUpInOrder(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Next(portkeytest.Fault{Status: 500}, portkeytest.Fault{})
	gw.Next(portkeytest.Fault{Status: 501})
	for i, want := range []int{500, 200, 501, 200} {
		resp, _ := post(t, gw, on("Provider", "openai"), hi)
		if resp.StatusCode != want {
			t.Errorf("call %d: got %d, want %d", i, resp.StatusCode, want)
		}
	}
}

func TestFaultDelay(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Next(portkeytest.Fault{Delay: time.Millisecond}, portkeytest.Fault{Delay: time.Hour}, portkeytest.Fault{Delay: time.Hour})
	resp, _ := post(t, gw, on("Provider", "openai"), hi)
	check(t, "after the delay", resp.StatusCode, 200)

	resp, body := post(t, gw, on("Provider", "openai", "Request-Timeout", "20"), hi)
	check(t, "with a timeout", resp.StatusCode, http.StatusRequestTimeout)
	contains(t, "with a timeout", body, "Request exceeded the timeout sent in the request: 20ms")
	check(t, "with a timeout: provider", resp.Header.Get("X-Portkey-Provider"), "openai")

	impatient := *client
	impatient.Timeout = 50 * time.Millisecond
	req, _ := http.NewRequestWithContext(t.Context(), "GET", gw.URL()+"/models", nil)
	req.Header = http.Header{"X-Portkey-Provider": {"openai"}}
	if resp, err := impatient.Do(req); err == nil {
		resp.Body.Close()
		t.Error("a client that does not wait: got an answer")
	}
}

// A timeout is for the head of an answer only.
func TestTimeoutDoesNotEndAStream(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	over := make(chan struct{})
	gw.Handle("/chat/completions", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		io.WriteString(w, "data: 1\n\n")
		w.(http.Flusher).Flush()
		<-over
		io.WriteString(w, "data: 2\n\n")
	}))
	timeout := on("Provider", "openai", "Request-Timeout", "1000")
	go func() {
		defer close(over)
		time.Sleep(1100 * time.Millisecond) // what is tested is the time
	}()
	_, body := post(t, gw, timeout, `{"stream":true}`)
	check(t, "stream", body, "data: 1\n\ndata: 2\n\n")
}

func TestFaultReset(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Next(portkeytest.Fault{Reset: true})
	if resp, body, err := try(t, gw, "POST", "/chat/completions", on("Provider", "openai"), hi); !errors.Is(err, io.EOF) {
		t.Errorf("got %v %q, %v, want no answer but %v", resp, body, err, io.EOF)
	}
	check(t, "requests", len(gw.Requests()), 1)
	resp, _ := post(t, gw, on("Provider", "openai"), hi)
	check(t, "the next one", resp.StatusCode, 200)
}

func TestFaultCut(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Next(portkeytest.Fault{Cut: true}, portkeytest.Fault{Cut: true})
	for _, body := range []string{`{"stream":true}`, hi} {
		resp, got, err := try(t, gw, "POST", "/chat/completions", on("Provider", "openai"), body)
		if !errors.Is(err, io.ErrUnexpectedEOF) || resp == nil || resp.StatusCode != 200 || got == "" || strings.Contains(got, "DONE") {
			t.Errorf("%s: got %v %q, %v, want half an answer and %v", body, resp, got, err, io.ErrUnexpectedEOF)
		}
	}
}

func TestFaultMalformed(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Next(portkeytest.Fault{Malformed: true}, portkeytest.Fault{Malformed: true}, portkeytest.Fault{Malformed: true})
	_, body := post(t, gw, on("Provider", "openai"), `{"stream":true}`)
	all := strings.Split(strings.TrimSpace(body), "\n\n")
	for i, e := range all[:len(all)-1] {
		if valid := json.Valid([]byte(strings.TrimPrefix(e, "data: "))); valid != (i != 1) {
			t.Errorf("event %d: %s: got valid JSON %v, want only the second broken", i, e, valid)
		}
	}
	check(t, "last event", all[len(all)-1], "data: [DONE]")

	resp, body := post(t, gw, on("Provider", "openai"), hi)
	check(t, "exception", resp.Header.Get("X-Portkey-Gateway-Exception")+body, `true{"status":"failure","message":"Something went wrong"}`)

	resp, body = send(t, gw, "GET", "/models", on("Provider", "openai"), "")
	if resp.StatusCode != 200 || json.Valid([]byte(body)) || !strings.HasPrefix(body, "{") {
		t.Errorf("a proxied request: got %d %s, want 200 and half of the JSON", resp.StatusCode, body)
	}
}

func TestFaultException(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Next(portkeytest.Fault{Exception: "oh"})
	resp, body := post(t, gw, on("Provider", "openai", "Trace-Id", "t1"), hi)
	check(t, "answer", resp.Status+body, `500 Internal Server Error{"status":"failure","message":"oh"}`)
	check(t, "ResponseInfo", portkey.ParseResponse(resp.Header), portkey.ResponseInfo{GatewayException: true})
}

func TestFaultGuardrail(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	type results struct {
		Error   struct{ Type string }
		Choices []any
		Results struct {
			Before []struct{ Verdict, Deny bool } `json:"before_request_hooks"`
		} `json:"hook_results"`
	}
	gw.Next(portkeytest.Fault{Status: 446}, portkeytest.Fault{Status: 246}, portkeytest.Fault{Status: 246}, portkeytest.Fault{Status: 446})
	var denied, failed results
	resp, body := post(t, gw, on("Provider", "openai", "Trace-Id", "t1"), hi)
	check(t, "denied", resp.StatusCode, 446)
	check(t, "denied: ResponseInfo", portkey.ParseResponse(resp.Header), portkey.ResponseInfo{TraceID: "t1", Provider: "openai", LastUsedOption: "config"})
	if err := json.Unmarshal([]byte(body), &denied); err != nil || denied.Error.Type != "hooks_failed" || len(denied.Results.Before) != 1 || !denied.Results.Before[0].Deny {
		t.Errorf("denied: got %s, %v, want an error with the results of a hook that denies", body, err)
	}

	resp, body = post(t, gw, on("Provider", "openai"), hi)
	check(t, "failed", resp.StatusCode, 246)
	if err := json.Unmarshal([]byte(body), &failed); err != nil || len(failed.Choices) != 1 || len(failed.Results.Before) != 1 || failed.Results.Before[0].Deny {
		t.Errorf("failed: got %s, %v, want an answer with the results of a hook that does not deny", body, err)
	}
	resp, body = post(t, gw, on("Provider", "openai"), `{"stream":true}`)
	if resp.StatusCode != 246 || !strings.HasSuffix(body, "data: [DONE]\n\n") {
		t.Errorf("failed, streamed: got %d %s, want 246 and a stream", resp.StatusCode, body)
	}
	resp, _ = post(t, gw, on("Config", `{"strategy":{"mode":"fallback"},"targets":[{"provider":"openai","api_key":"k"},{"provider":"groq","api_key":"k"}]}`), hi)
	check(t, "denied, then fallback", resp.Header.Get("X-Portkey-Last-Used-Option-Index"), "config.targets[1]")
}

func TestFaultCacheStatusAndRetryAttempts(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Next(portkeytest.Fault{CacheStatus: portkey.CacheHit}, portkeytest.Fault{RetryAttempts: 3}, portkeytest.Fault{Status: 503, RetryAttempts: -1})
	for _, want := range []portkey.ResponseInfo{
		{Provider: "openai", LastUsedOption: "config", CacheStatus: portkey.CacheHit},
		{Provider: "openai", LastUsedOption: "config", CacheStatus: portkey.CacheDisabled, RetryAttempts: 3},
		{Provider: "openai", LastUsedOption: "config", CacheStatus: portkey.CacheDisabled, RetryAttempts: -1},
	} {
		resp, _ := post(t, gw, on("Provider", "openai"), hi)
		check(t, "ResponseInfo", portkey.ParseResponse(resp.Header), want)
	}
}
