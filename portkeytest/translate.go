package portkeytest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// translate does with an upstream's answer what the gateway does on the endpoints
// that it unifies.
func (c *call) translate(resp *http.Response, provider string) error {
	e := c.endpoint
	if e == nil || !e.of(provider) || e.verbatim == "*" || has(e.verbatim, provider) {
		return nil
	}
	stream, _ := c.params["stream"].(bool)
	contentType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	kind, _, _ := strings.Cut(contentType, "/")
	status := resp.StatusCode
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusPreconditionFailed, status == statusDenied,
		kind == "audio", kind == "image", strings.HasSuffix(contentType, "/octet-stream"),
		contentType == "" && status == http.StatusNoContent:
		return nil
	case stream && (status == http.StatusOK || status == statusFailedChecks):
		resp.Body = cleanEnd{resp.Body}
		return nil
	}
	text, err := readBody(resp)
	if err != nil {
		return exception(wentWrong)
	}
	if contentType == "text/plain" || contentType == "text/html" {
		text = []byte(toJSON(map[string]string{"html-message": string(text)}))
		resp.Header.Set("Content-Type", "application/json")
	}
	if !json.Valid(text) {
		return exception(wentWrong)
	}
	var object map[string]json.RawMessage
	if json.Unmarshal(text, &object) != nil || object == nil {
		setBody(resp, text)
		return nil
	}
	var upstream struct{ Message, Type, Param, Code any }
	json.Unmarshal(object["error"], &upstream)
	if message, ok := upstream.Message.(string); ok && status != http.StatusOK {
		upstream.Message = provider + " error: " + message
		text = []byte(toJSON(map[string]any{"error": map[string]any{
			"message": upstream.Message, "type": upstream.Type, "param": upstream.Param, "code": upstream.Code,
		}, "provider": provider}))
	} else if e.name == "createModelResponse" || e.name != "messages" && !has("openai azure-openai x-ai", provider) && !isHeld(provider) {
		object["provider"] = json.RawMessage(toJSON(provider))
		text = []byte(toJSON(object))
	}
	setBody(resp, text)
	return nil
}

// A cleanEnd is a stream that ends as if that were all when it breaks off: the
// gateway's end like that.
type cleanEnd struct{ io.ReadCloser }

func (c cleanEnd) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}
