package portkeytest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing/iotest"
	"time"

	"github.com/portkey-go/portkey"
)

// A Fault describes how one call to a provider fails or differs from a normal call. Zero fields have no effect. Fields
// can be combined, except that Reset, Exception and an error Status each replace the provider's response: the first of
// them takes effect.
type Fault struct {
	// Delay is how long the provider takes until it starts to respond. If the request has a shorter timeout, the
	// gateway responds with status 408 when the timeout expires.
	Delay time.Duration

	// Status is the status of the response, from 200 to 599. If it is 400 or higher, the response is an error in OpenAI's format and no
	// handler is called. Other values have no effect, except 246. Three values come from the gateway rather than from
	// the provider:
	//
	//	408  the request timeout has expired
	//	246  a guardrail check failed: the normal response, with hook_results unless it is an event stream
	//	446  a guardrail denied the request: an error with hook_results
	Status int

	// RetryAfter is the value of the Retry-After header, rounded up to whole seconds.
	RetryAfter time.Duration

	// CacheStatus is the value of the x-portkey-cache-status header. If empty, it is DISABLED. It does not change the
	// response body: there is no cache. A response with status 446 does not have the header.
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

	// Cut closes the connection to the client after half of the response body.
	Cut bool

	// Reset closes the connection to the client without a response. On a reused connection, net/http retries a GET
	// request, and the retry uses up the next fault.
	Reset bool
}

// Next adds faults to the queue. Each call to a provider removes one fault from it, in order. The zero Fault leaves a
// call unchanged. Next panics if a Fault is invalid.
//
// A request makes one call, unless its config retries it or sends it to another target: with a fallback config,
// Fault{Status: 503} makes only the first target fail. A request that the gateway rejects makes no call. A request to
// one of Portkey's own endpoints, such as /feedback, counts as a call.
//
// If the Gateway was made by NewGateway, the test fails if a fault is still in the queue when the test ends.
func (g *Gateway) Next(faults ...Fault) {
	for _, f := range faults {
		if f.Status != 0 && (f.Status < 200 || f.Status > 599) {
			panic(fmt.Sprintf("portkeytest: Fault.Status is %d: it must be 0 or from 200 to 599", f.Status))
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = append(g.faults, faults...)
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
		const message = "The guardrail checks defined in the config failed. " +
			"You can find more information in the `hook_results` object."
		return newResponse(f.Status, "application/json", toJSON(map[string]any{
			"error":        newOpenAIError(f.Status, message).Error,
			"hook_results": hookResults(true),
		})), nil
	case f.Status >= 400:
		return newErrorResponse(f.Status, fmt.Sprintf("%d %s", f.Status, http.StatusText(f.Status))), nil
	}
	return nil, nil
}

// alterProviderResponse changes a response before the gateway translates it.
func (f Fault) alterProviderResponse(resp *http.Response) {
	if f.Malformed {
		breakJSON(resp)
	}
	if f.Status == statusGuardrailFailed && resp.StatusCode == http.StatusOK {
		resp.StatusCode, resp.Status = f.Status, ""
	}
}

// alterResponse changes the response to the client.
func (f Fault) alterResponse(resp *http.Response) {
	if f.RetryAfter > 0 {
		resp.Header.Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	if f.Cut {
		body, _ := readBody(resp)
		firstHalf := bytes.NewReader(body[:len(body)/2])
		resp.Body = io.NopCloser(io.MultiReader(firstHalf, iotest.ErrReader(io.ErrUnexpectedEOF)))
		resp.ContentLength = -1
		resp.Header.Del("Content-Length")
	}
}

// breakJSON inserts an invalid event after the first event of a stream, or cuts any other body in half.
func breakJSON(resp *http.Response) {
	body, _ := readBody(resp)
	firstEvent, otherEvents, ok := bytes.Cut(body, []byte("\n\n"))
	if ok && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		body = []byte(string(firstEvent) + "\n\ndata: {\"id\":\n\n" + string(otherEvents))
	} else {
		body = body[:len(body)/2]
	}
	setBody(resp, body)
}

// hookResults returns the results of one guardrail whose check failed.
func hookResults(deny bool) any {
	const timestamp = "2024-01-01T00:00:00.000Z"
	return map[string]any{
		"before_request_hooks": []any{map[string]any{
			"id": "portkeytest", "type": "guardrail", "verdict": false, "deny": deny, "async": false,
			"transformed": false, "feedback": nil, "execution_time": 0, "created_at": timestamp,
			"checks": []any{map[string]any{
				"id": "default.contains", "verdict": false, "transformed": false, "fail_on_error": false,
				"data": map[string]any{
					"explanation": "Check failed for 'none' words. Some words were found.",
					"foundWords":  []any{"portkeytest"}, "missingWords": []any{}, "operator": "none",
				},
				"log": nil, "execution_time": 0, "created_at": timestamp,
			}},
		}},
		"after_request_hooks": []any{},
	}
}

// addHookResults adds hook_results to a JSON object. It leaves any other response unchanged.
func addHookResults(resp *http.Response) {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return
	}
	body, err := readBody(resp)
	var members map[string]json.RawMessage
	if err == nil && json.Unmarshal(body, &members) == nil && members != nil {
		members["hook_results"] = json.RawMessage(toJSON(hookResults(false)))
		body = []byte(toJSON(members))
	}
	setBody(resp, body)
}
