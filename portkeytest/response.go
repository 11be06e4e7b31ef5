package portkeytest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strconv"
	"strings"
)

// Response statuses of the gateway's guardrails.
const (
	statusGuardrailFailed = 246
	statusGuardrailDenied = 446
)

// A gatewayResponse is a response that the gateway sends without a provider. It is an error, because it ends the
// exchange: the gateway neither retries it nor falls back to another target.
type gatewayResponse struct {
	status      int
	body        any // nil is empty, a string is plain text, anything else is encoded as JSON
	isException bool
}

func (g *gatewayResponse) Error() string { return "portkeytest: response of the gateway" }

// A failureBody is the body of a rejection or a gateway exception.
type failureBody struct {
	Status  string   `json:"status"`
	Message string   `json:"message"`
	Errors  []string `json:"errors,omitempty"`
}

// somethingWentWrong is the gateway's message for an error that it does not describe.
const somethingWentWrong = "Something went wrong"

// rejection returns the response to a request that the gateway does not accept.
func rejection(status int, message string, problems ...string) error {
	return &gatewayResponse{status: status, body: failureBody{"failure", message, problems}}
}

// gatewayException returns the response to a request that makes the gateway itself fail.
func gatewayException(message string) error {
	return &gatewayResponse{
		status:      http.StatusInternalServerError,
		body:        failureBody{Status: "failure", Message: message},
		isException: true,
	}
}

func (g *gatewayResponse) response() *http.Response {
	var resp *http.Response
	switch body := g.body.(type) {
	case nil:
		resp = newResponse(g.status, "", "")
	case string:
		resp = newResponse(g.status, "text/plain; charset=UTF-8", body)
	default:
		resp = newResponse(g.status, "application/json", toJSON(body))
	}
	if g.isException {
		resp.Header.Set("X-Portkey-Gateway-Exception", "true")
	}
	return resp
}

// An openAIError is the body of an error response in OpenAI's format.
type openAIError struct {
	Error struct {
		Message string  `json:"message"`
		Type    string  `json:"type"`
		Param   *string `json:"param"`
		Code    *string `json:"code"`
	} `json:"error"`
}

// newOpenAIError returns an error with the type and code that belong to the status.
func newOpenAIError(status int, message string) openAIError {
	errorType, code := "invalid_request_error", ""
	switch {
	case status == http.StatusUnauthorized:
		code = "invalid_api_key"
	case status == http.StatusRequestTimeout:
		errorType = "timeout_error"
	case status == http.StatusTooManyRequests:
		errorType, code = "requests", "rate_limit_exceeded"
	case status == statusGuardrailDenied:
		errorType = "hooks_failed"
	case status >= 500:
		errorType = "server_error"
	}
	var e openAIError
	e.Error.Message, e.Error.Type = message, errorType
	if code != "" {
		e.Error.Code = &code
	}
	return e
}

// newErrorResponse returns an error response in OpenAI's format.
func newErrorResponse(status int, message string) *http.Response {
	return newResponse(status, "application/json", toJSON(newOpenAIError(status, message)))
}

func newResponse(status int, contentType, body string) *http.Response {
	resp := &http.Response{StatusCode: status, ProtoMajor: 1, ProtoMinor: 1, Header: make(http.Header)}
	if contentType != "" {
		resp.Header.Set("Content-Type", contentType)
	}
	setBody(resp, []byte(body))
	return resp
}

// readBody reads and closes the body. The caller then replaces it, usually by setBody.
func readBody(resp *http.Response) ([]byte, error) {
	defer resp.Body.Close()
	return io.ReadAll(io.LimitReader(resp.Body, maxBodyBytes))
}

// setBody replaces the body, without closing the old one.
func setBody(resp *http.Response, body []byte) {
	resp.Body = io.NopCloser(bytes.NewReader(body))
	resp.ContentLength = int64(len(body))
	resp.Header.Set("Content-Length", strconv.Itoa(len(body)))
}

// streamBody replaces the body by one of unknown length.
func streamBody(resp *http.Response, body io.ReadCloser) {
	resp.Body = body
	resp.ContentLength = -1
	resp.Header.Del("Content-Length")
}

func isEventStream(resp *http.Response) bool {
	return strings.HasPrefix(resp.Header.Get("Content-Type"), "text/event-stream")
}

// toJSON encodes v without escaping HTML characters. It panics if v cannot be encoded.
func toJSON(v any) string {
	var b strings.Builder
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return strings.TrimSuffix(b.String(), "\n")
}
