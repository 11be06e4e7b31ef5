package portkeytest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"testing/iotest"
	"time"

	"github.com/portkey-go/portkey"
)

// A Fault describes how one call to a provider fails or differs from a normal call. Zero fields have no effect. Fields
// can be combined, with two exceptions: Reset, Exception and an error Status each replace the provider's response, and
// the first of them takes effect; of Cut, EndEarly, Stall and CommentsOnly, only one can be set.
type Fault struct {
	// Delay is how long the provider takes until it starts to respond. If the request has a shorter timeout, the
	// gateway responds with status 408 when the timeout expires.
	Delay time.Duration

	// Status is the status of the response, from 200 to 599. If it is 400 or higher, the response is an error in
	// OpenAI's format and no handler is called. Other values have no effect, except 246. Three values come from the
	// gateway rather than from the provider:
	//
	//	408  the request timeout has expired
	//	246  a guardrail check failed: the normal response, with hook_results
	//	446  a guardrail denied the request or the response: an error with hook_results
	Status int

	// Guardrail adds hook_results to the response: the result of a guardrail that checked the request or the response.
	// The guardrail passed, unless Status is 246 or 446. With these, the default is InputGuardrail.
	//
	// An event stream has hook_results only on the endpoints chat/completions, completions and messages, and only if
	// strict OpenAI compliance is off (Headers.StrictOpenAICompliance). Those of an input guardrail are in an event
	// before all others.
	//
	// Those of an output guardrail are in an event after all others, and the status of such a stream is 200, even if
	// Status is 246 or 446. Portkey documents this for the hosted gateway; it was not tested against it.
	Guardrail Guardrail

	// RetryAfter is the value of the Retry-After header, rounded up to whole seconds.
	RetryAfter time.Duration

	// CacheStatus is the value of the x-portkey-cache-status header. If empty, it is DISABLED. It does not change the
	// response body: there is no cache. If an input guardrail denies the request, the response lacks the header.
	CacheStatus portkey.CacheStatus

	// RetryAttempts is the value of the x-portkey-retry-attempt-count header; -1 means that all retries failed. If 0,
	// it is the number of retries that the config caused.
	RetryAttempts int

	// Exception is the message of a gateway exception. The response has status 500, the header
	// x-portkey-gateway-exception: true and no other x-portkey-* header.
	Exception string

	// Malformed makes the provider's JSON invalid. In an event stream, the second event is invalid and the others are
	// not. Any other body is cut in half, which causes a gateway exception on the endpoints that the gateway
	// translates.
	Malformed bool

	// Reset closes the connection to the client without a response. On a reused connection, net/http retries a GET
	// request, and the retry uses up the next fault.
	Reset bool

	// Cut closes the connection to the client after half of the response body, as if the gateway had been killed. The
	// client gets io.ErrUnexpectedEOF.
	Cut bool

	// EndEarly ends an event stream after half of its events, but properly: the client reads io.EOF. This is what it
	// sees when the provider breaks off, because the gateway hides that.
	EndEarly bool

	// Stall sends half of the events of an event stream, and then nothing until the client closes the connection or
	// the Gateway is closed.
	Stall bool

	// CommentsOnly sends a comment (": keep-alive") every 10 milliseconds in place of the events of an event stream,
	// until the client closes the connection or the Gateway is closed.
	CommentsOnly bool
}

// Next adds faults to the queue. Each call to a provider removes one fault from it, in order. The zero Fault leaves a
// call unchanged. Next panics if a Fault is invalid.
//
// A request makes one call, unless its config retries it or sends it to another target: with a fallback config,
// Fault{Status: 503} makes only the first target fail. A request that the gateway rejects makes no call. A request to
// one of Portkey's own endpoints, such as /feedback, counts as a call.
//
// If the Gateway was made by NewGateway, the test fails if a fault is still in the queue when the test ends, or if a
// fault with EndEarly, Stall or CommentsOnly is applied to a response that is not an event stream.
func (g *Gateway) Next(faults ...Fault) {
	for _, f := range faults {
		f.validate()
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = append(g.faults, faults...)
}

// validate panics if the fault is invalid.
func (f Fault) validate() {
	bodyFaults := 0
	for _, isSet := range []bool{f.Cut, f.EndEarly, f.Stall, f.CommentsOnly} {
		if isSet {
			bodyFaults++
		}
	}
	switch {
	case f.Status != 0 && (f.Status < 200 || f.Status > 599):
		panic(fmt.Sprintf("portkeytest: Fault.Status is %d: it must be 0 or from 200 to 599", f.Status))
	case f.Guardrail != "" && f.Guardrail != InputGuardrail && f.Guardrail != OutputGuardrail:
		panic(fmt.Sprintf("portkeytest: Fault.Guardrail is %q: it must be InputGuardrail or OutputGuardrail", f.Guardrail))
	case bodyFaults > 1:
		panic("portkeytest: a Fault can have only one of Cut, EndEarly, Stall and CommentsOnly")
	}
}

// nextFault removes and returns the first fault of the queue, or the zero Fault if the queue is empty.
func (g *Gateway) nextFault() Fault {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.faults) == 0 {
		return Fault{}
	}
	fault := g.faults[0]
	g.faults = g.faults[1:]
	return fault
}

// errReset makes the ReverseProxy close the client's connection.
var errReset = errors.New("portkeytest: connection closed by a Fault")

// injectBefore waits for the delay and returns the response or error that replaces the call. If it returns neither, the
// upstream is called.
func (f Fault) injectBefore(ctx context.Context) (*http.Response, error) {
	if f.Delay > 0 {
		select {
		case <-time.After(f.Delay):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	switch {
	case f.Reset:
		return nil, errReset
	case f.Exception != "":
		return nil, gatewayException(f.Exception)
	case f.Status == statusGuardrailDenied:
		if f.guardrail() == OutputGuardrail {
			return nil, nil
		}
		return f.deniedResponse(), nil
	case f.Status >= 400:
		return newErrorResponse(f.Status, fmt.Sprintf("%d %s", f.Status, http.StatusText(f.Status))), nil
	}
	return nil, nil
}

// breakJSON inserts an invalid event after the first event of a stream, or cuts any other body in half.
func breakJSON(resp *http.Response) {
	body, _ := readBody(resp)
	firstEvent, otherEvents, ok := bytes.Cut(body, []byte("\n\n"))
	if ok && isEventStream(resp) {
		body = []byte(string(firstEvent) + "\n\ndata: {\"id\":\n\n" + string(otherEvents))
	} else {
		body = body[:len(body)/2]
	}
	setBody(resp, body)
}

// alterResponse applies the fault to the response to the client.
func (x *exchange) alterResponse(resp *http.Response, f Fault) {
	if f.RetryAfter > 0 {
		resp.Header.Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	if (f.EndEarly || f.Stall || f.CommentsOnly) && !isEventStream(resp) {
		x.gateway.errorf("portkeytest: a Fault with EndEarly, Stall or CommentsOnly had no effect on the response to "+
			"%s %s: it is not an event stream", x.req.Method, x.req.URL.Path)
		return
	}
	// The context ends when the client closes the connection and when the Gateway is closed.
	ctx := x.req.Context()
	switch {
	case f.Cut:
		body, _ := readBody(resp)
		firstHalf := bytes.NewReader(body[:len(body)/2])
		streamBody(resp, io.NopCloser(io.MultiReader(firstHalf, iotest.ErrReader(io.ErrUnexpectedEOF))))
	case f.EndEarly:
		streamBody(resp, io.NopCloser(firstEvents(resp)))
	case f.Stall:
		streamBody(resp, io.NopCloser(io.MultiReader(firstEvents(resp), stalledReader{ctx})))
	case f.CommentsOnly:
		resp.Body.Close()
		streamBody(resp, io.NopCloser(commentReader{ctx}))
	}
}

// firstEvents returns the first half of the events in a response, rounded down.
func firstEvents(resp *http.Response) io.Reader {
	body, _ := readBody(resp)
	events := bytes.SplitAfter(body, []byte("\n\n"))
	n := len(events) - 1 // the last element is what follows the last event
	return bytes.NewReader(bytes.Join(events[:n/2], nil))
}

// A stalledReader blocks until its context ends.
type stalledReader struct{ ctx context.Context }

func (r stalledReader) Read([]byte) (int, error) {
	<-r.ctx.Done()
	return 0, r.ctx.Err()
}

// A commentReader returns a comment of an event stream at regular intervals until its context ends.
type commentReader struct{ ctx context.Context }

func (r commentReader) Read(p []byte) (int, error) {
	select {
	case <-time.After(10 * time.Millisecond):
		return copy(p, ": keep-alive\n\n"), nil
	case <-r.ctx.Done():
		return 0, r.ctx.Err()
	}
}
