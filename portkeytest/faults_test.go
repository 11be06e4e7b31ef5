package portkeytest_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/portkeytest"
)

func TestNextQueuesFaults(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Next(portkeytest.Fault{Status: 500}, portkeytest.Fault{})
	gw.Next(portkeytest.Fault{Status: 501})
	for i, want := range []int{500, 200, 501, 200} {
		resp, _ := postChat(t, gw, portkeyHeader("Provider", "openai"), chatBody)
		if resp.StatusCode != want {
			t.Errorf("call %d: got status %d, want %d", i, resp.StatusCode, want)
		}
	}
}

func TestFaultStatus(t *testing.T) {
	t.Parallel()
	const chat = "/chat/completions"
	for _, tt := range []struct {
		name, path string
		status     int
		want       string
	}{
		{"400", chat, 400, `{"error":{"code":null,"message":"openai error: 400 Bad Request","param":null,` +
			`"type":"invalid_request_error"},"provider":"openai"}`},
		{"401", chat, 401, `{"error":{"code":"invalid_api_key","message":"openai error: 401 Unauthorized",` +
			`"param":null,"type":"invalid_request_error"},"provider":"openai"}`},
		{"408", chat, 408,
			`{"error":{"message":"408 Request Timeout","type":"timeout_error","param":null,"code":null}}`},
		{"429", chat, 429, `{"error":{"code":"rate_limit_exceeded","message":"openai error: 429 Too Many Requests",` +
			`"param":null,"type":"requests"},"provider":"openai"}`},
		{"503", chat, 503, `{"error":{"code":null,"message":"openai error: 503 Service Unavailable","param":null,` +
			`"type":"server_error"},"provider":"openai"}`},
		{"503 of a proxied request", "/rerank", 503,
			`{"error":{"message":"503 Service Unavailable","type":"server_error","param":null,"code":null}}`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.NewGateway(t)
			gw.Next(portkeytest.Fault{Status: tt.status, RetryAfter: 1500 * time.Millisecond})
			resp, body := send(t, gw, "POST", tt.path, portkeyHeader("Provider", "openai"), chatBody)
			checkEqual(t, "status", resp.StatusCode, tt.status)
			checkEqual(t, "body", body, tt.want)
			checkEqual(t, "Retry-After", resp.Header.Get("Retry-After"), "2") // rounded up
			checkEqual(t, "provider", resp.Header.Get("X-Portkey-Provider"), "openai")
		})
	}
}

func TestFaultDelay(t *testing.T) {
	t.Parallel()
	t.Run("response after the delay", func(t *testing.T) {
		t.Parallel()
		const delay = 50 * time.Millisecond
		gw := portkeytest.NewGateway(t)
		gw.Next(portkeytest.Fault{Delay: delay})
		start := time.Now()
		resp, _ := postChat(t, gw, portkeyHeader("Provider", "openai"), chatBody)
		checkEqual(t, "status", resp.StatusCode, 200)
		if elapsed := time.Since(start); elapsed < delay {
			t.Errorf("got a response after %v, want at least %v", elapsed, delay)
		}
	})
	t.Run("request timeout", func(t *testing.T) {
		t.Parallel()
		gw := portkeytest.NewGateway(t)
		gw.Next(portkeytest.Fault{Delay: time.Hour})
		resp, body := postChat(t, gw, portkeyHeader("Provider", "openai", "Request-Timeout", "20"), chatBody)
		checkEqual(t, "status", resp.StatusCode, http.StatusRequestTimeout)
		checkContains(t, "body", body, "Request exceeded the timeout sent in the request: 20ms")
		checkEqual(t, "provider", resp.Header.Get("X-Portkey-Provider"), "openai")
	})
	t.Run("client timeout", func(t *testing.T) {
		t.Parallel()
		gw := portkeytest.NewGateway(t)
		gw.Next(portkeytest.Fault{Delay: time.Hour})
		client := *httpClient
		client.Timeout = 50 * time.Millisecond
		req, err := http.NewRequestWithContext(t.Context(), "GET", gw.URL()+"/models", nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Portkey-Provider", "openai")
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
			t.Errorf("got status %d, want a timeout", resp.StatusCode)
		}
	})
}

func TestFaultReset(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Next(portkeytest.Fault{Reset: true})
	header := portkeyHeader("Provider", "openai")
	resp, body, err := trySend(t, gw, "POST", "/chat/completions", header, chatBody)
	if !errors.Is(err, io.EOF) {
		t.Errorf("got %v %q, %v, want no response and %v", resp, body, err, io.EOF)
	}
	checkEqual(t, "requests", len(gw.Requests()), 1)

	resp, _ = postChat(t, gw, header, chatBody)
	checkEqual(t, "status of the next call", resp.StatusCode, 200)
}

func TestFaultCut(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, body string }{
		{"stream", `{"stream":true}`},
		{"JSON", chatBody},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.NewGateway(t)
			header := portkeyHeader("Provider", "openai")
			_, whole := postChat(t, gw, header, tt.body)

			gw.Next(portkeytest.Fault{Cut: true})
			resp, body, err := trySend(t, gw, "POST", "/chat/completions", header, tt.body)
			if !errors.Is(err, io.ErrUnexpectedEOF) || resp == nil {
				t.Fatalf("got %v %q, %v, want a response and %v", resp, body, err, io.ErrUnexpectedEOF)
			}
			checkEqual(t, "status", resp.StatusCode, 200)
			checkEqual(t, "body", body, whole[:len(whole)/2])
		})
	}
}

func TestFaultMalformed(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	openai := portkeyHeader("Provider", "openai")
	t.Run("stream", func(t *testing.T) {
		gw.Next(portkeytest.Fault{Malformed: true})
		_, body := postChat(t, gw, openai, `{"stream":true}`)
		events := strings.Split(strings.TrimSpace(body), "\n\n")
		last := len(events) - 1
		for i, event := range events[:last] {
			valid, want := json.Valid([]byte(strings.TrimPrefix(event, "data: "))), i != 1
			if valid != want {
				t.Errorf("event %d, %s: got valid JSON %v, want %v", i, event, valid, want)
			}
		}
		checkEqual(t, "last event", events[last], "data: [DONE]")
	})
	t.Run("JSON", func(t *testing.T) {
		gw.Next(portkeytest.Fault{Malformed: true})
		resp, body := postChat(t, gw, openai, chatBody)
		checkEqual(t, "gateway exception", resp.Header.Get("X-Portkey-Gateway-Exception"), "true")
		checkEqual(t, "body", body, `{"status":"failure","message":"Something went wrong"}`)
	})
	t.Run("JSON of a proxied request", func(t *testing.T) {
		gw.Next(portkeytest.Fault{Malformed: true})
		resp, body := send(t, gw, "GET", "/models", openai, "")
		if resp.StatusCode != 200 || json.Valid([]byte(body)) || !strings.HasPrefix(body, "{") {
			t.Errorf("got %d %s, want 200 and half of the JSON", resp.StatusCode, body)
		}
	})
}

func TestFaultException(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Next(portkeytest.Fault{Exception: "oh"})
	resp, body := postChat(t, gw, portkeyHeader("Provider", "openai", "Trace-Id", "t1"), chatBody)
	checkEqual(t, "status", resp.StatusCode, 500)
	checkEqual(t, "body", body, `{"status":"failure","message":"oh"}`)
	checkEqual(t, "ResponseInfo", portkey.ParseResponse(resp.Header), portkey.ResponseInfo{GatewayException: true})
}

func TestFaultEndEarly(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ name, path, provider, lastEvent string }{
		{"chat completion", "/chat/completions", "openai", "data: [DONE]"},
		{"completion", "/completions", "openai", "data: [DONE]"},
		{"messages", "/messages", "anthropic", "event: message_stop"},
		{"responses", "/responses", "openai", "event: response.completed"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.NewGateway(t)
			header := portkeyHeader("Provider", tt.provider)
			_, whole := send(t, gw, "POST", tt.path, header, `{"stream":true}`)
			checkContains(t, "whole stream", whole, tt.lastEvent)

			gw.Next(portkeytest.Fault{EndEarly: true})
			resp, body := send(t, gw, "POST", tt.path, header, `{"stream":true}`) // without an error
			checkEqual(t, "status", resp.StatusCode, 200)
			wholeEvents, events := strings.SplitAfter(whole, "\n\n"), strings.SplitAfter(body, "\n\n")
			checkEqual(t, "events", len(events)-1, (len(wholeEvents)-1)/2)
			if !strings.HasPrefix(whole, body) || strings.Contains(body, tt.lastEvent) {
				t.Errorf("got %s, want the first half of %s", body, whole)
			}
		})
	}
}

func TestFaultStall(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	_, whole := postChat(t, gw, portkeyHeader("Provider", "openai"), `{"stream":true}`)
	events := strings.SplitAfter(whole, "\n\n")
	firstHalf := strings.Join(events[:(len(events)-1)/2], "")

	gw.Next(portkeytest.Fault{Stall: true})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	body, err := readStream(ctx, t, gw)
	checkEqual(t, "body", body, firstHalf)
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	waitForGoroutines(t, "stalledReader")
}

func TestFaultCommentsOnly(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Next(portkeytest.Fault{CommentsOnly: true})
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	body, err := readStream(ctx, t, gw)
	const comment = ": keep-alive\n\n"
	if n := strings.Count(body, comment); n < 2 || body != strings.Repeat(comment, n) {
		t.Errorf("got %q, want several comments", body)
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
	waitForGoroutines(t, "commentReader")
}

// readStream requests a stream and reads it until it ends.
func readStream(ctx context.Context, t *testing.T, gw *portkeytest.Gateway) (string, error) {
	t.Helper()
	url := gw.URL() + "/chat/completions"
	req, err := http.NewRequestWithContext(ctx, "POST", url, strings.NewReader(`{"stream":true}`))
	if err != nil {
		t.Fatal(err)
	}
	req.Header = portkeyHeader("Provider", "openai")
	resp, err := httpClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return string(body), err
}

// waitForGoroutines waits until no goroutine is in a function with the given name.
func waitForGoroutines(t *testing.T, name string) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	for range 500 {
		if !bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte(name)) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("the gateway still runs %s after the client has closed the connection", name)
}

func TestFaultOfAStreamOnAnotherResponse(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault portkeytest.Fault
	}{
		{"EndEarly", portkeytest.Fault{EndEarly: true}},
		{"Stall", portkeytest.Fault{Stall: true}},
		{"CommentsOnly", portkeytest.Fault{CommentsOnly: true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			tb := &fakeTB{}
			gw := portkeytest.NewGateway(tb)
			gw.Next(tt.fault)
			_, body := postChat(t, gw, portkeyHeader("Provider", "openai"), chatBody)
			checkContains(t, "body", body, "You said: hi")
			checkErrors(t, tb.end(), "POST /v1/chat/completions: it is not an event stream")
		})
	}
}

func TestNextPanicsAtAnInvalidFault(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		fault portkeytest.Fault
		want  string // "" if the fault is valid
	}{
		{"status 9999", portkeytest.Fault{Status: 9999}, "Fault.Status is 9999: it must be 0 or from 200 to 599"},
		{"status 600", portkeytest.Fault{Status: 600}, "Fault.Status is 600"},
		{"status 100", portkeytest.Fault{Status: 100}, "Fault.Status is 100"},
		{"negative status", portkeytest.Fault{Status: -1}, "Fault.Status is -1"},
		{"status 599", portkeytest.Fault{Status: 599}, ""},
		{"status 200", portkeytest.Fault{Status: 200}, ""},
		{"guardrail", portkeytest.Fault{Guardrail: "inputs"}, `Fault.Guardrail is "inputs"`},
		{"two faults of the body", portkeytest.Fault{Cut: true, Stall: true}, "only one of Cut, EndEarly, Stall"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.Start()
			defer gw.Close()
			defer func() {
				got := fmt.Sprint(recover())
				if tt.want == "" {
					checkEqual(t, "panic", got, "<nil>")
				}
				checkContains(t, "panic", got, tt.want)
			}()
			gw.Next(tt.fault)
		})
	}
}

func TestFaultCacheStatusAndRetryAttempts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name              string
		fault             portkeytest.Fault
		wantCacheStatus   portkey.CacheStatus
		wantRetryAttempts int
	}{
		{"cache hit", portkeytest.Fault{CacheStatus: portkey.CacheHit}, portkey.CacheHit, 0},
		{"retries", portkeytest.Fault{RetryAttempts: 3}, portkey.CacheDisabled, 3},
		{"all retries failed", portkeytest.Fault{Status: 503, RetryAttempts: -1}, portkey.CacheDisabled, -1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			gw := portkeytest.NewGateway(t)
			gw.Next(tt.fault)
			resp, _ := postChat(t, gw, portkeyHeader("Provider", "openai"), chatBody)
			info := portkey.ParseResponse(resp.Header)
			checkEqual(t, "cache status", info.CacheStatus, tt.wantCacheStatus)
			checkEqual(t, "retry attempts", info.RetryAttempts, tt.wantRetryAttempts)
		})
	}
}
