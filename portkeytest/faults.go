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
	"time"

	"github.com/portkey-go/portkey"
)

// A Fault is what goes wrong with a call, or otherwise than usual. What is zero
// does not; what is set happens together.
type Fault struct {
	// Delay passes before the provider answers. With a request timeout that is
	// shorter, it need not: the gateway answers 408.
	Delay time.Duration
	// Status is the provider's. From 400 on it answers with an error of this status,
	// and no handler is called; 408 and 446 come from the gateway (446: a guardrail
	// has denied the request). The answer to 246, by which the gateway says that a
	// guardrail has failed and not denied, is the usual one with hook_results.
	Status int
	// RetryAfter is sent as Retry-After, in whole seconds.
	RetryAfter time.Duration
	// CacheStatus is sent as x-portkey-cache-status, DISABLED otherwise. What the
	// cache holds is what the handler answers.
	CacheStatus portkey.CacheStatus
	// RetryAttempts is sent as x-portkey-retry-attempt-count, otherwise the number
	// of attempts that a config's retry took. -1 says that all are used up.
	RetryAttempts int

	// Exception is the message of a gateway exception: status 500, and no
	// x-portkey-* header but x-portkey-gateway-exception.
	Exception string
	// Malformed breaks the provider's JSON: the second event of a stream, otherwise
	// the body, which on the endpoints that the gateway unifies is an exception.
	Malformed bool
	// Cut closes the client's connection after half of the answer.
	Cut bool
	// Reset closes the client's connection without an answer. On a connection that
	// was used before, net/http sends a GET again by itself.
	Reset bool
}

// Statuses of the gateway's guardrails.
const (
	statusFailedChecks = 246
	statusDenied       = 446
)

// Next has the faults happen to the next calls of a provider, one each, in order.
// A request is one call, unless its config has it retried or sent on to another
// target: with a fallback, Fault{Status: 503} makes the first target fail. A
// request that the gateway refuses calls no provider, and uses up no fault. The
// zero Fault lets one call pass.
func (g *Gateway) Next(faults ...Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = append(g.faults, faults...)
}

func (g *Gateway) nextFault() (f Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.faults) > 0 {
		f, g.faults = g.faults[0], g.faults[1:]
	}
	return f
}

var errReset = errors.New("portkeytest: the connection is closed")

// strike does what the fault does in the upstream's place. If it returns nothing,
// the upstream is still to be called.
func (f Fault) strike(ctx context.Context) (*http.Response, error) {
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
		return nil, exception(f.Exception)
	case f.Status == statusDenied:
		return newResponse(f.Status, "application/json", toJSON(map[string]any{
			"error":        errorBody(f.Status, "The guardrail checks defined in the config failed. You can find more information in the `hook_results` object.").Error,
			"hook_results": hookResults(true),
		})), nil
	case f.Status >= 400:
		return newResponse(f.Status, "application/json", toJSON(errorBody(f.Status, fmt.Sprintf("%d %s", f.Status, http.StatusText(f.Status))))), nil
	}
	return nil, nil
}

// spoil does what the fault does to the answer on its way to the client.
func (f Fault) spoil(resp *http.Response) {
	if f.RetryAfter > 0 {
		resp.Header.Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	if f.Cut {
		text, _ := readBody(resp)
		resp.ContentLength = -1
		resp.Header.Del("Content-Length")
		resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(text[:len(text)/2]), brokenReader{}))
	}
}

// A brokenReader is the rest of a body that does not come any more.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func malform(resp *http.Response) {
	text, _ := readBody(resp)
	first, rest, ok := bytes.Cut(text, []byte("\n\n"))
	if ok && strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream") {
		text = []byte(string(first) + "\n\ndata: {\"id\":\n\n" + string(rest))
	} else {
		text = text[:len(text)/2]
	}
	setBody(resp, text)
}

// hookResults are those of one guardrail that has failed.
func hookResults(deny bool) any {
	const when = "2024-01-01T00:00:00.000Z"
	return map[string]any{
		"before_request_hooks": []any{map[string]any{
			"id": "portkeytest", "type": "guardrail", "verdict": false, "deny": deny, "async": false, "transformed": false,
			"feedback": nil, "execution_time": 0, "created_at": when,
			"checks": []any{map[string]any{
				"id": "default.contains", "verdict": false, "transformed": false, "fail_on_error": false,
				"data": map[string]any{"explanation": "Check failed for 'none' words. Some words were found.",
					"foundWords": []any{"portkeytest"}, "missingWords": []any{}, "operator": "none"},
				"log": nil, "execution_time": 0, "created_at": when,
			}},
		}},
		"after_request_hooks": []any{},
	}
}

// addHookResults adds to a JSON object what the guardrails found; a stream goes without.
func addHookResults(resp *http.Response) {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return
	}
	text, err := readBody(resp)
	var object map[string]json.RawMessage
	if err == nil && json.Unmarshal(text, &object) == nil && object != nil {
		object["hook_results"] = json.RawMessage(toJSON(hookResults(false)))
		text = []byte(toJSON(object))
	}
	setBody(resp, text)
}

// An apiError is an error as OpenAI words it.
type apiError struct {
	Error struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	} `json:"error"`
}

func errorBody(status int, message string) (e apiError) {
	e.Error.Message = message
	code := ""
	switch e.Error.Type = "invalid_request_error"; {
	case status == http.StatusUnauthorized:
		code = "invalid_api_key"
	case status == http.StatusRequestTimeout:
		e.Error.Type = "timeout_error"
	case status == http.StatusTooManyRequests:
		e.Error.Type, code = "requests", "rate_limit_exceeded"
	case status == statusDenied:
		e.Error.Type = "hooks_failed"
	case status >= 500:
		e.Error.Type = "server_error"
	}
	if code != "" {
		e.Error.Code = &code
	}
	return e
}

func newResponse(status int, contentType, body string) *http.Response {
	resp := &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header)}
	if contentType != "" {
		resp.Header.Set("Content-Type", contentType)
	}
	setBody(resp, []byte(body))
	return resp
}

// readBody reads an answer's body to its end, which is then to be set again.
func readBody(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxBody))
}

func setBody(resp *http.Response, text []byte) {
	resp.Body = io.NopCloser(bytes.NewReader(text))
	resp.ContentLength = int64(len(text))
	resp.Header.Set("Content-Length", strconv.Itoa(len(text)))
}

// toJSON encodes what is known to have an encoding.
func toJSON(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
