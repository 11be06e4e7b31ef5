package portkey

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"github.com/portkey-go/portkey/internal/sse"
)

// StreamError is the error of reading the body of an event stream that ended before its
// last event, or had no event for too long: see Options.StrictStreams and
// StreamIdleTimeout. The body up to there has been returned. It unwraps to
// io.ErrUnexpectedEOF and is a net.Error.
type StreamError struct {
	Idle    time.Duration // Options.StreamIdleTimeout, or 0 if the stream was cut off
	TraceID string        // of the call
}

// Error tells what happened to the stream, and the trace ID.
func (e *StreamError) Error() string {
	text := "portkey: the event stream was cut off before its last event"
	if e.Idle > 0 {
		text = "portkey: the event stream had no event for " + e.Idle.String()
	}
	if e.TraceID != "" {
		text += " (trace " + e.TraceID + ")"
	}
	return text
}

// Unwrap returns io.ErrUnexpectedEOF.
func (e *StreamError) Unwrap() error { return io.ErrUnexpectedEOF }

// Timeout reports whether the stream had no event for too long.
func (e *StreamError) Timeout() bool { return e.Idle > 0 }

// Temporary returns false. It makes StreamError a net.Error.
func (e *StreamError) Temporary() bool { return false }

// watchStream replaces the body of resp by one that may return a StreamError, if Options
// demand it and resp is an event stream in answer to a POST. The gateway ends its response
// properly even if the provider broke off (see TestStrictStreams in interop/).
func (t *Transport) watchStream(resp *http.Response, sent *http.Request) {
	isWanted := t.strictStreams || t.streamIdleTimeout > 0
	if !isWanted || sent.Method != http.MethodPost || !isEventStream(resp) {
		return
	}
	scanner, hasLastEvent := sse.NewScanner(sent.URL.EscapedPath())
	resp.Body = &streamBody{
		ReadCloser: resp.Body,
		scanner:    scanner,
		strict:     t.strictStreams && hasLastEvent,
		idle:       t.streamIdleTimeout,
		traceID:    sent.Header.Get(keyTraceID),
	}
}

// isEventStream reports whether resp is a complete event stream that can be read as it is.
func isEventStream(resp *http.Response) bool {
	if resp.StatusCode != http.StatusOK && resp.StatusCode != StatusGuardrailFailed || resp.Header.Get("Content-Encoding") != "" {
		return false
	}
	mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	return strings.EqualFold(strings.TrimSpace(mediaType), "text/event-stream")
}

// A streamBody is the body of an event stream. It passes all bytes on as they arrive.
type streamBody struct {
	io.ReadCloser
	scanner sse.Scanner
	strict  bool
	traceID string

	idle    time.Duration // 0: no limit
	waited  time.Duration // in Read, since the last event
	timer   *time.Timer
	stalled atomic.Bool
}

func (b *streamBody) Read(p []byte) (int, error) {
	n, isEvent, err := b.read(p)
	if isEvent {
		b.waited = 0
	}
	switch {
	case err != nil && b.stalled.Load(): // also io.EOF: a server may end its response when the client leaves
		return n, &StreamError{Idle: b.idle, TraceID: b.traceID}
	case err == io.EOF && b.strict && !b.scanner.Complete():
		return n, &StreamError{TraceID: b.traceID}
	}
	return n, err
}

// read reads and scans the next piece. If it waits for too long, the body is closed, which
// makes it return.
func (b *streamBody) read(p []byte) (n int, isEvent bool, err error) {
	if b.idle == 0 {
		n, err = b.ReadCloser.Read(p)
		return n, b.scanner.Scan(p[:n]), err
	}
	start := time.Now()
	if b.timer == nil {
		b.timer = time.AfterFunc(b.idle, func() {
			b.stalled.Store(true)
			b.Close()
		})
	} else {
		b.timer.Reset(b.idle - b.waited)
	}
	n, err = b.ReadCloser.Read(p)
	b.timer.Stop()
	b.waited += time.Since(start)
	return n, b.scanner.Scan(p[:n]), err
}
