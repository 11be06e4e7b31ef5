package portkey_test

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
	openai "github.com/sashabaranov/go-openai"
)

const (
	chunk    = "data: {\"choices\":[{\"delta\":{\"content\":\"Hel\"},\"finish_reason\":null}]}\n\n"
	lastText = "data: {\"choices\":[{\"delta\":{\"content\":\"lo\"},\"finish_reason\":\"stop\"}]}\n\n"
	done     = "data: [DONE]\n\n"
)

// stream answers with an event stream that consists of the given events, each of which is
// flushed.
func stream(events ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
		for _, event := range events {
			io.WriteString(w, event)
			w.(http.Flusher).Flush()
		}
	}
}

func TestStrictStreamThatIsCutOffIsAnError(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, url, body string
		complete        bool
	}{
		{"chat", openAIChat, chunk + lastText + done, true},
		{"chat without [DONE]", openAIChat, chunk + lastText, true},
		{"chat, hook_results after [DONE]", openAIChat, chunk + done + "data: {\"hook_results\":{}}\n\n", true},
		{"chat, cut off", openAIChat, chunk, false},
		{"chat, inside the last event", openAIChat, chunk + lastText[:40], false},
		{"chat, only an error event", openAIChat, "data: {\"error\":{\"message\":\"overloaded\"}}\n\n", false},
		{"chat, no event", openAIChat, "", false},
		{"chat, marker in the content", openAIChat, "data: {\"choices\":[{\"delta\":{\"content\":\"data: [DONE]\"}}]}\n\n", false},
		{"completions", "https://api.openai.com/v1/completions", "data: [DONE]\n\n", true},
		{"messages", "https://api.anthropic.com/v1/messages", "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n", true},
		{"messages, cut off", "https://api.anthropic.com/v1/messages", "event: content_block_stop\ndata: {\"type\":\"content_block_stop\"}\n\n", false},
		{"responses", "https://api.openai.com/v1/responses", "data: {\"type\":\"response.incomplete\"}\n\n", true},
		{"responses, cut off", "https://api.openai.com/v1/responses", "data: {\"type\":\"response.output_text.delta\"}\n\n", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw := newServer(t, stream(tt.body))
			c := newClient(t, gw, portkey.Options{StrictStreams: true})
			resp, err := c.Do(newRequest(t, portkey.WithTrace(t.Context(), "t1"), "POST", tt.url, "{}"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if string(body) != tt.body {
				t.Errorf("got %q, want %q", body, tt.body)
			}
			if tt.complete {
				if err != nil {
					t.Errorf("got %v, want no error", err)
				}
				return
			}
			checkStreamError(t, err, portkey.StreamError{TraceID: "t1"})
		})
	}
}

func checkStreamError(t *testing.T, err error, want portkey.StreamError) {
	t.Helper()
	var got *portkey.StreamError
	if !errors.As(err, &got) || *got != want {
		t.Fatalf("got %v, want %v", err, &want)
	}
	if !errors.Is(err, io.ErrUnexpectedEOF) || !strings.HasPrefix(got.Error(), "portkey: ") || !strings.Contains(got.Error(), want.TraceID) {
		t.Errorf("got %q, want an io.ErrUnexpectedEOF with the trace ID", got)
	}
	var netErr net.Error = got
	//lint:ignore SA1019 Temporary is deprecated, and part of net.Error.
	temporary := netErr.Temporary()
	if netErr.Timeout() != (want.Idle > 0) || temporary {
		t.Errorf("got timeout %t and temporary %t, want %t and false", netErr.Timeout(), temporary, want.Idle > 0)
	}
}

func TestStrictStreamLeavesOtherResponsesAlone(t *testing.T) {
	t.Parallel()
	const url = openAIChat
	events := stream(chunk)
	withHeader := func(status int, key, value string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set(key, value)
			w.WriteHeader(status)
			io.WriteString(w, chunk)
		}
	}
	for _, tt := range []struct {
		name, method, url string
		handler           http.HandlerFunc
		opts              portkey.Options
	}{
		{"not strict", "POST", url, events, portkey.Options{}},
		{"another method", "GET", url, events, portkey.Options{StrictStreams: true}},
		{"another endpoint", "POST", "https://generativelanguage.googleapis.com/v1beta/models/m:streamGenerateContent", events, portkey.Options{StrictStreams: true}},
		{"another type", "POST", url, withHeader(200, "Content-Type", "application/json"), portkey.Options{StrictStreams: true}},
		{"another status", "POST", url, withHeader(201, "X-Any", "x"), portkey.Options{StrictStreams: true}},
		{"encoded", "POST", url, withHeader(200, "Content-Encoding", "br"), portkey.Options{StrictStreams: true}},
		{"excluded by Filter", "POST", "", events, portkey.Options{StrictStreams: true, Filter: func(*http.Request) bool { return false }}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			gw := newServer(t, tt.handler)
			if tt.url == "" {
				tt.url = gw.URL + "/v1/chat/completions"
			}
			_, body := do(t, newClient(t, gw, tt.opts), newRequest(t, t.Context(), tt.method, tt.url, "{}"))
			if body != chunk {
				t.Errorf("got %q, want %q", body, chunk)
			}
		})
	}
}

func TestStrictStreamJudgesAGuardrailsStatusAndDecompressedBodies(t *testing.T) {
	t.Parallel()
	for name, handler := range map[string]http.HandlerFunc{
		"status 246": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "Text/Event-Stream")
			w.WriteHeader(portkey.StatusGuardrailFailed)
			io.WriteString(w, chunk)
		},
		"decompressed by net/http": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/event-stream")
			w.Header().Set("Content-Encoding", "gzip")
			z := gzip.NewWriter(w)
			io.WriteString(z, chunk)
			z.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			c := newClient(t, newServer(t, handler), portkey.Options{StrictStreams: true})
			resp, err := c.Do(newRequest(t, portkey.WithTrace(t.Context(), "t"), "POST", openAIChat, "{}"))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			_, err = io.ReadAll(resp.Body)
			checkStreamError(t, err, portkey.StreamError{TraceID: "t"})
		})
	}
}

func TestUpgradedConnectionStaysAReadWriteCloser(t *testing.T) {
	t.Parallel()
	gw := newServer(t, func(w http.ResponseWriter, _ *http.Request) {
		conn, buffered, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		io.WriteString(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\nContent-Type: text/event-stream\r\n\r\n")
		line, _ := buffered.ReadString('\n')
		io.WriteString(conn, line)
	})
	req := newRequest(t, t.Context(), "POST", openAIChat, "")
	req.Header = http.Header{"Connection": {"Upgrade"}, "Upgrade": {"echo"}}
	resp, err := newClient(t, gw, portkey.Options{StrictStreams: true, StreamIdleTimeout: time.Minute}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	conn, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("got a body of type %T, want an io.ReadWriteCloser", resp.Body)
	}
	io.WriteString(conn, "hello\n")
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello\n" {
		t.Errorf("got %q and error %v, want the echo", got, err)
	}
}

func TestStrictStreamOfACallThatFailedOpen(t *testing.T) {
	t.Parallel()
	provider, base := providerBase(t)
	provider.Config.Handler = stream(chunk)
	tr := newTransport(t, base, portkey.Options{BaseURL: refusedURL, FailOpen: alwaysFailOpen, StrictStreams: true})
	resp, err := tr.RoundTrip(newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	_, err = io.ReadAll(resp.Body)
	checkStreamError(t, err, portkey.StreamError{})
}

// Another error of the body is returned as it is.
func TestStrictStreamReturnsTheErrorOfTheConnection(t *testing.T) {
	t.Parallel()
	gw := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		stream(chunk)(w, r)
		panic(http.ErrAbortHandler)
	})
	resp, err := newClient(t, gw, portkey.Options{StrictStreams: true}).Do(newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadAll(resp.Body); err != io.ErrUnexpectedEOF {
		t.Errorf("got %v, want io.ErrUnexpectedEOF itself", err)
	}
}

func TestStrictStreamPassesEachEventOnAsItArrives(t *testing.T) {
	t.Parallel()
	next := make(chan struct{})
	gw := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		for _, event := range []string{chunk, lastText, done} {
			stream(event)(w, r)
			<-next
		}
	})
	resp, err := newClient(t, gw, portkey.Options{StrictStreams: true, StreamIdleTimeout: time.Minute}).Do(newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	for _, want := range []string{chunk, lastText, done} {
		got := make([]byte, len(want))
		if _, err := io.ReadFull(resp.Body, got); err != nil || string(got) != want {
			t.Fatalf("got %q and %v, want %q", got, err, want)
		}
		next <- struct{}{}
	}
	if _, err := resp.Body.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("got %v, want io.EOF", err)
	}
}

func TestClientReportsAStreamThatIsCutOff(t *testing.T) {
	t.Parallel()
	gw := newServer(t, stream(chunk))
	cfg, err := portkey.WrapOpenAIConfig(openai.DefaultConfig("sk"), portkey.Options{BaseURL: gw.URL, StrictStreams: true})
	if err != nil {
		t.Fatal(err)
	}
	s, err := openai.NewClientWithConfig(cfg).CreateChatCompletionStream(portkey.WithTrace(t.Context(), "t"), helloRequest)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if got, err := s.Recv(); err != nil || got.Choices[0].Delta.Content != "Hel" {
		t.Fatalf("got %v and error %v, want the first event", got, err)
	}
	_, err = s.Recv()
	checkStreamError(t, err, portkey.StreamError{TraceID: "t"})
}

func TestStreamWithoutAnEventForTooLongEnds(t *testing.T) {
	t.Parallel()
	const idle = 50 * time.Millisecond
	comments := func(w http.ResponseWriter, r *http.Request, text string) {
		for r.Context().Err() == nil {
			stream(text)(w, r)
			time.Sleep(idle / 10)
		}
	}
	for name, handler := range map[string]http.HandlerFunc{
		"nothing":             stream(),
		"one event":           stream(chunk),
		"half an event":       stream(chunk[:20]),
		"a complete stream":   stream(lastText, done),
		"comments for ever":   func(w http.ResponseWriter, r *http.Request) { comments(w, r, ": keep-alive\n\n") },
		"pings for ever":      func(w http.ResponseWriter, r *http.Request) { comments(w, r, "event: ping\ndata: {}\n\n") },
		"line ends for ever":  func(w http.ResponseWriter, r *http.Request) { comments(w, r, "\n") },
		"other fields or IDs": func(w http.ResponseWriter, r *http.Request) { comments(w, r, "id: 1\n") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ended := make(chan struct{})
			gw := newServer(t, func(w http.ResponseWriter, r *http.Request) {
				defer close(ended)
				handler(w, r)
				w.(http.Flusher).Flush()
				<-r.Context().Done()
			})
			c := newClient(t, gw, portkey.Options{StreamIdleTimeout: idle})
			resp, err := c.Do(newRequest(t, portkey.WithTrace(t.Context(), "t"), "POST", openAIChat, "{}"))
			if err != nil {
				t.Fatal(err)
			}
			start := time.Now()
			_, err = io.ReadAll(resp.Body)
			checkStreamError(t, err, portkey.StreamError{Idle: idle, TraceID: "t"})
			if took := time.Since(start); took < idle {
				t.Errorf("took %v, want at least %v", took, idle)
			}
			select {
			case <-ended:
			case <-time.After(time.Minute):
				t.Error("the call at the gateway goes on")
			}
			if _, err := resp.Body.Read(make([]byte, 1)); !errors.As(err, new(*portkey.StreamError)) {
				t.Errorf("after the error: got %v, want a StreamError", err)
			}
			if err := resp.Body.Close(); err != nil {
				t.Errorf("Close: %v", err)
			}
		})
	}
}

// Only the time that Read waits counts, and each event starts it anew.
func TestSlowReaderDoesNotMakeAStreamIdle(t *testing.T) {
	t.Parallel()
	const idle = 300 * time.Millisecond
	const events = 4
	gw := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		for range events {
			stream(chunk)(w, r)
			time.Sleep(idle / 3) // together longer than idle
		}
		stream(done)(w, r)
	})
	c := newClient(t, gw, portkey.Options{StreamIdleTimeout: idle, StrictStreams: true})
	resp, err := c.Do(newRequest(t, t.Context(), "POST", openAIChat, "{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, len(chunk))); err != nil {
		t.Fatal(err)
	}
	time.Sleep(2 * idle)
	rest, err := io.ReadAll(resp.Body)
	if want := strings.Repeat(chunk, events-1) + done; err != nil || string(rest) != want {
		t.Errorf("got %q and error %v, want %q", rest, err, want)
	}
}

func TestNegativeIdleTimeoutIsAnError(t *testing.T) {
	t.Parallel()
	_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", StreamIdleTimeout: -1})
	if err == nil || !strings.Contains(err.Error(), "StreamIdleTimeout") {
		t.Errorf("got %v, want an error that names StreamIdleTimeout", err)
	}
}

// Streams that end in any way leave no goroutine, timer or connection behind.
func TestStreamsLeaveNothingBehind(t *testing.T) {
	for _, http2 := range []bool{false, true} {
		t.Run(fmt.Sprint("HTTP/2: ", http2), func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				io.Copy(io.Discard, r.Body)
				switch r.Header.Get("End") {
				case "complete":
					stream(chunk, done)(w, r)
				case "cut off":
					stream(chunk)(w, r)
				default:
					stream(chunk)(w, r)
					<-r.Context().Done()
				}
			}
			gw := httptest.NewUnstartedServer(http.HandlerFunc(handler))
			gw.EnableHTTP2 = http2
			gw.StartTLS()
			base := loopback.Clone()
			base.TLSClientConfig = &tls.Config{RootCAs: gw.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs}
			base.ForceAttemptHTTP2 = http2
			patient := newTransport(t, base, portkey.Options{BaseURL: gw.URL, StrictStreams: true, StreamIdleTimeout: time.Minute})
			impatient := newTransport(t, base, portkey.Options{BaseURL: gw.URL, StrictStreams: true, StreamIdleTimeout: 50 * time.Millisecond})
			before := runtime.NumGoroutine()
			streams := 2000
			if testing.Short() {
				streams = 200
			}
			ends := []string{"complete", "cut off", "closed by another goroutine", "cancelled", "idle"}
			work := make(chan string, streams)
			for i := range streams {
				work <- ends[i%len(ends)]
			}
			close(work)
			var wg sync.WaitGroup
			for range 32 {
				wg.Add(1)
				go func() {
					defer wg.Done()
					for end := range work {
						tr := patient
						if end == "idle" {
							tr = impatient
						}
						checkStreamEnd(t, tr, end, http2)
					}
				}()
			}
			wg.Wait()
			base.CloseIdleConnections()
			for range 100 { // goroutines of net/http end a little later
				if runtime.NumGoroutine() <= before {
					break
				}
				time.Sleep(50 * time.Millisecond)
			}
			if after := runtime.NumGoroutine(); after > before {
				stacks := make([]byte, 1<<16)
				t.Errorf("got %d goroutines, want %d\n%s", after, before, stacks[:runtime.Stack(stacks, true)])
			}
			gw.Close() // waits for the connections
		})
	}
}

func checkStreamEnd(t *testing.T, tr http.RoundTripper, end string, http2 bool) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req := newRequest(t, ctx, "POST", openAIChat, "{}")
	req.Header.Set("End", end)
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Error(err)
		return
	}
	if (resp.ProtoMajor == 2) != http2 {
		t.Errorf("got %s, want HTTP/2: %t", resp.Proto, http2)
	}
	switch end {
	case "closed by another goroutine":
		go func() {
			time.Sleep(time.Millisecond)
			resp.Body.Close()
		}()
	case "cancelled":
		time.AfterFunc(time.Millisecond, cancel)
	}
	_, err = io.ReadAll(resp.Body)
	resp.Body.Close()
	var streamErr *portkey.StreamError
	isStreamErr := errors.As(err, &streamErr)
	isCutOff := isStreamErr && !streamErr.Timeout() // also if the server ends its response because the client leaves
	switch end {
	case "complete":
		if err != nil {
			t.Errorf("%s: got %v, want no error", end, err)
		}
	case "cut off":
		if !isCutOff {
			t.Errorf("%s: got %v, want a StreamError", end, err)
		}
	case "cancelled":
		if !errors.Is(err, context.Canceled) && !isCutOff {
			t.Errorf("%s: got %v, want context.Canceled", end, err)
		}
	case "idle":
		if !isStreamErr || !streamErr.Timeout() {
			t.Errorf("%s: got %v, want a StreamError by timeout", end, err)
		}
	default:
		if err == nil || isStreamErr && !isCutOff {
			t.Errorf("%s: got %v, want the error of a closed body", end, err)
		}
	}
}
