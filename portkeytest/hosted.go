package portkeytest

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"path"
	"slices"
	"strings"
)

// This file has the endpoints that only the hosted gateway serves. None of it could be compared with the hosted
// gateway: the shapes are those of Portkey's documentation.

// isPortkeyAPI reports whether Portkey itself answers a request, rather than a provider.
func isPortkeyAPI(r *http.Request) bool {
	return isRequest(r, "POST /v1/prompts/*/render") ||
		isRequest(r, "POST /v1/feedback") || isRequest(r, "PUT /v1/feedback/*") ||
		isRequest(r, "POST /v1/logs") ||
		isRequest(r, "GET /v1/models") && isCatalogRequest(r.Header)
}

func isRequest(r *http.Request, pattern string) bool {
	ok, _ := path.Match(pattern, r.Method+" "+r.URL.Path)
	return ok
}

// isCatalogRequest reports whether a request for the models is one for those in the Model Catalog.
func isCatalogRequest(header http.Header) bool {
	if headerValue(header, "X-Portkey-Fetch-Integrated-Models") == "true" {
		return true
	}
	return headerValue(header, "X-Portkey-Provider") == "" && headerValue(header, "X-Portkey-Config") == "" &&
		headerValue(header, "X-Portkey-Virtual-Key") == ""
}

// isSavedPrompt reports whether a request calls a model with a prompt that is saved at Portkey.
func isSavedPrompt(r *http.Request) bool { return isRequest(r, "POST /v1/prompts/*/completions") }

// callPortkey sends a request to one of Portkey's own endpoints. The response has no x-portkey-* header: none is
// documented.
func (x *exchange) callPortkey(ctx context.Context) (*http.Response, error) {
	fault := x.gateway.nextFault()
	resp, err := x.callProvider(ctx, &call{body: x.body}, fault)
	if err != nil {
		return nil, err
	}
	x.alterResponse(resp, fault)
	return resp, nil
}

func addPortkeyAPI(mux *http.ServeMux) {
	mux.HandleFunc("POST /prompts/{id}/render", serveModel(func(params object) (object, []event) {
		return object{"success": true, "data": renderPrompt(params)}, nil
	}))
	mux.HandleFunc("POST /prompts/{id}/completions", serveModel(func(params object) (object, []event) {
		return chatCompletion(renderPrompt(params))
	}))
	mux.HandleFunc("POST /feedback", func(w http.ResponseWriter, r *http.Request) {
		serveFeedback(w, r, "feedback-portkeytest")
	})
	mux.HandleFunc("PUT /feedback/{id}", func(w http.ResponseWriter, r *http.Request) {
		serveFeedback(w, r, r.PathValue("id"))
	})
	mux.HandleFunc("POST /logs", serveLogs)
}

// renderPrompt returns the parameters of the chat completion that a saved prompt makes. The prompt is one message, with
// the values of the variables in the order of their names. All other parameters are the request's.
func renderPrompt(params object) object {
	rendered := maps.Clone(params)
	variables, ok := params["variables"].(object)
	if !ok {
		return rendered
	}
	var texts []string
	for _, name := range slices.Sorted(maps.Keys(variables)) {
		text, isString := variables[name].(string)
		if !isString {
			text = toJSON(variables[name])
		}
		texts = append(texts, text)
	}
	delete(rendered, "variables")
	rendered["messages"] = []any{object{"role": "user", "content": strings.Join(texts, " ")}}
	return rendered
}

// serveFeedback accepts the feedback with the given ID.
func serveFeedback(w http.ResponseWriter, r *http.Request, id string) {
	var feedback struct {
		TraceID string `json:"trace_id"`
		Value   *float64
		Weight  float64
	}
	err := json.NewDecoder(r.Body).Decode(&feedback)
	switch {
	case err != nil:
		writeFailure(w, "The body must be a JSON object: "+err.Error())
	case feedback.TraceID == "" && r.Method == http.MethodPost:
		writeFailure(w, "trace_id is required")
	case feedback.Value == nil || math.Abs(*feedback.Value) > 10 || *feedback.Value != math.Trunc(*feedback.Value):
		writeFailure(w, "value is required: an integer from -10 to 10")
	case feedback.Weight < 0 || feedback.Weight > 1:
		writeFailure(w, "weight must be a number from 0 to 1")
	default:
		writeJSON(w, http.StatusOK,
			object{"status": "success", "message": "Feedback saved", "feedback_ids": []any{id}})
	}
}

// serveLogs accepts a log or a list of logs.
func serveLogs(w http.ResponseWriter, r *http.Request) {
	type log struct {
		Request  struct{ URL, Body any }
		Response struct{ Body any }
	}
	var body json.RawMessage
	var logs []log
	err := json.NewDecoder(r.Body).Decode(&body)
	if err == nil && json.Unmarshal(body, &logs) != nil {
		logs = make([]log, 1)
		err = json.Unmarshal(body, &logs[0])
	}
	if err != nil {
		writeFailure(w, "The body must be a JSON object or a list of them: "+err.Error())
		return
	}
	for i, l := range logs {
		if l.Request.URL == nil || l.Request.Body == nil || l.Response.Body == nil {
			writeFailure(w, fmt.Sprintf("log %d: request.url, request.body and response.body are required", i))
			return
		}
	}
	writeJSON(w, http.StatusOK, object{"status": "success"})
}

// catalog returns the models in the Model Catalog. They belong to the given provider, such as "@openai-prod".
func catalog(provider string) object {
	var models []any
	for _, name := range []string{"gpt-4o-mini", "text-embedding-3-small"} {
		models = append(models,
			object{"id": provider + "/" + name, "slug": name, "canonical_slug": name, "object": "model"})
	}
	return object{"object": "list", "total": len(models), "data": models}
}

// writeFailure writes the response to an invalid request. Its format, that of the gateway, is not documented for these
// endpoints.
func writeFailure(w http.ResponseWriter, message string) {
	writeJSON(w, http.StatusBadRequest, failureBody{Status: "failure", Message: message})
}
