package portkeytest

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

// translateResponse changes a provider's response as the gateway does on the endpoints that it translates. It returns
// a gateway exception if the body is not valid JSON.
func (x *exchange) translateResponse(resp *http.Response, c *call) error {
	e := x.endpoint
	if e == nil || !e.supportedBy(c.provider) || e.unchangedFrom == "*" || inList(c.provider, e.unchangedFrom) {
		return nil
	}
	mediaType, _, _ := strings.Cut(resp.Header.Get("Content-Type"), ";")
	mainType, _, _ := strings.Cut(mediaType, "/")
	status := resp.StatusCode
	switch {
	case status == http.StatusRequestTimeout, status == http.StatusPreconditionFailed, status == statusGuardrailDenied,
		mainType == "audio", mainType == "image", strings.HasSuffix(mediaType, "/octet-stream"),
		mediaType == "" && status == http.StatusNoContent:
		return nil
	case c.params.isStream() && (status == http.StatusOK || status == statusGuardrailFailed):
		resp.Body = errorAsEOF{resp.Body}
		return nil
	}
	body, err := readBody(resp)
	if err != nil {
		return gatewayException(somethingWentWrong)
	}
	if mediaType == "text/plain" || mediaType == "text/html" {
		body = []byte(toJSON(map[string]string{"html-message": string(body)}))
		resp.Header.Set("Content-Type", "application/json")
	}
	if !json.Valid(body) {
		return gatewayException(somethingWentWrong)
	}
	setBody(resp, translateJSON(body, status, e, c.provider))
	return nil
}

// translateJSON adds the provider's name to a JSON object. Any other JSON is returned unchanged.
func translateJSON(body []byte, status int, e *endpoint, provider string) []byte {
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil || members == nil {
		return body
	}
	var providerError struct{ Message, Type, Param, Code any }
	json.Unmarshal(members["error"], &providerError)
	if message, ok := providerError.Message.(string); ok && status != http.StatusOK {
		return []byte(toJSON(map[string]any{
			"error": map[string]any{
				"message": provider + " error: " + message,
				"type":    providerError.Type,
				"param":   providerError.Param,
				"code":    providerError.Code,
			},
			"provider": provider,
		}))
	}
	if namesProvider(e, provider) {
		members["provider"] = json.RawMessage(toJSON(provider))
		return []byte(toJSON(members))
	}
	return body
}

// namesProvider reports whether the gateway adds a "provider" member to a JSON object without an error message.
func namesProvider(e *endpoint, provider string) bool {
	switch e.name {
	case "createModelResponse":
		return true
	case "messages":
		return false
	}
	return !inList(provider, "openai azure-openai x-ai") && !isSavedProvider(provider)
}

// An errorAsEOF ends without an error if the provider's stream breaks off: on the endpoints that it translates, the
// gateway ends the stream to the client normally.
type errorAsEOF struct{ io.ReadCloser }

func (r errorAsEOF) Read(p []byte) (int, error) {
	n, err := r.ReadCloser.Read(p)
	if err != nil {
		err = io.EOF
	}
	return n, err
}
