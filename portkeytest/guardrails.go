package portkeytest

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// A Guardrail is what a guardrail of a [Fault] checks.
type Guardrail string

const (
	InputGuardrail  Guardrail = "input"  // the request, before the provider is called
	OutputGuardrail Guardrail = "output" // the provider's response
)

// guardrail returns the fault's guardrail, or "" if it has none.
func (f Fault) guardrail() Guardrail {
	if f.Status == statusGuardrailFailed || f.Status == statusGuardrailDenied {
		return cmp.Or(f.Guardrail, InputGuardrail)
	}
	return f.Guardrail
}

// hookResults returns the hook_results member of a response: the result of one guardrail with one check.
func (f Fault) hookResults() map[string]any {
	passed := f.Status != statusGuardrailFailed && f.Status != statusGuardrailDenied
	explanation, found, missing := "Check passed for 'none' words.", []any{}, []any{"portkeytest"}
	if !passed {
		explanation, found, missing = "Check failed for 'none' words. Some words were found.", missing, found
	}
	const timestamp = "2024-01-01T00:00:00.000Z"
	check := map[string]any{
		"id": "default.contains", "verdict": passed, "transformed": false, "fail_on_error": false,
		"data": map[string]any{
			"explanation": explanation, "foundWords": found, "missingWords": missing, "operator": "none",
		},
		"log": nil, "execution_time": 0, "created_at": timestamp,
	}
	result := map[string]any{
		"id": "portkeytest", "type": "guardrail", "verdict": passed, "deny": f.Status == statusGuardrailDenied,
		"async": false, "transformed": false, "feedback": nil, "checks": []any{check},
		"execution_time": 0, "created_at": timestamp,
	}
	results := map[string]any{"before_request_hooks": []any{}, "after_request_hooks": []any{}}
	results[f.hooks()] = []any{result}
	return results
}

// hooks returns the name of the hooks to which the fault's guardrail belongs.
func (f Fault) hooks() string {
	if f.guardrail() == OutputGuardrail {
		return "after_request_hooks"
	}
	return "before_request_hooks"
}

// deniedResponse returns the gateway's response to a request that a guardrail denies.
func (f Fault) deniedResponse() *http.Response {
	const message = "The guardrail checks defined in the config failed. " +
		"You can find more information in the `hook_results` object."
	return newResponse(statusGuardrailDenied, "application/json", toJSON(map[string]any{
		"error":        newOpenAIError(statusGuardrailDenied, message).Error,
		"hook_results": f.hookResults(),
	}))
}

// applyGuardrail returns the response to a call after the fault's guardrail.
func (x *exchange) applyGuardrail(resp *http.Response, c *call, f Fault) *http.Response {
	isOutput := f.guardrail() == OutputGuardrail
	switch {
	case f.guardrail() == "", isOutput && resp.StatusCode != http.StatusOK:
		return resp
	case isEventStream(resp):
		if f.Status == statusGuardrailFailed && !isOutput && resp.StatusCode == http.StatusOK {
			resp.StatusCode, resp.Status = f.Status, ""
		}
		if !x.isStrict(c.target) {
			x.addHookResultsEvent(resp, f)
		}
		return resp
	case f.Status == statusGuardrailDenied && isOutput:
		resp.Body.Close()
		return f.deniedResponse()
	case f.Status == statusGuardrailFailed && resp.StatusCode == http.StatusOK:
		resp.StatusCode, resp.Status = f.Status, ""
	}
	addHookResults(resp, f)
	return resp
}

// isStrict reports whether a response to the target has only members that OpenAI's API has.
func (x *exchange) isStrict(t target) bool {
	return headerValue(x.req.Header, "X-Portkey-Strict-Open-Ai-Compliance") != "false" &&
		(t.StrictOpenAICompliance == nil || *t.StrictOpenAICompliance)
}

// addHookResults adds hook_results to a JSON object. It leaves any other response unchanged.
func addHookResults(resp *http.Response, f Fault) {
	if !strings.HasPrefix(resp.Header.Get("Content-Type"), "application/json") {
		return
	}
	body, err := readBody(resp)
	var members map[string]json.RawMessage
	if err == nil && json.Unmarshal(body, &members) == nil && members != nil {
		members["hook_results"] = json.RawMessage(toJSON(f.hookResults()))
		body = []byte(toJSON(members))
	}
	setBody(resp, body)
}

// addHookResultsEvent adds an event with hook_results to a stream: that of an input guardrail before all others, as the
// open-source gateway does, and that of an output guardrail after them, as Portkey documents for the hosted gateway.
func (x *exchange) addHookResultsEvent(resp *http.Response, f Fault) {
	if x.endpoint == nil || !inList(x.endpoint.name, "chatComplete complete messages") {
		return
	}
	event := "data: " + toJSON(map[string]any{
		"hook_results": map[string]any{f.hooks(): f.hookResults()[f.hooks()]},
	}) + "\n\n"
	if x.endpoint.name == "messages" {
		event = "event: hook_results\n" + event
	}
	readers := []io.Reader{strings.NewReader(event), resp.Body}
	if f.guardrail() == OutputGuardrail {
		readers[0], readers[1] = readers[1], readers[0]
	}
	streamBody(resp, struct {
		io.Reader
		io.Closer
	}{io.MultiReader(readers...), resp.Body})
}
