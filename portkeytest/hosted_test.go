package portkeytest_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/portkey-go/portkey/portkeytest"
)

func TestPortkeyAPI(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	apiKey := portkeyHeader("Api-Key", "pk")
	const (
		feedback = `{"status":"success","message":"Feedback saved","feedback_ids":["feedback-portkeytest"]}`
		oneLog   = `{"request":{"url":"https://llm.example.com","body":{}},"response":{"body":{}}}`
		logSaved = `{"status":"success"}`
		catalog  = `{"object":"list","total":2,"data":[` +
			`{"id":"@portkeytest/gpt-4o-mini","slug":"gpt-4o-mini","canonical_slug":"gpt-4o-mini","object":"model"},` +
			`{"id":"@portkeytest/text-embedding-3-small","slug":"text-embedding-3-small",` +
			`"canonical_slug":"text-embedding-3-small","object":"model"}]}`
	)
	for _, tt := range []struct {
		name, method, path string
		header             http.Header
		body               string
		wantStatus         int
		want               string // as JSON, or the start of the message if the status is not 200
	}{
		{"rendered prompt", "POST", "/prompts/pp-1/render", apiKey,
			`{"variables":{"b":"there","a":"hi","c":3},"model":"m1","temperature":0.5}`, 200,
			`{"success":true,"data":{"model":"m1","temperature":0.5,"messages":[{"role":"user","content":"hi there 3"}]}}`},
		{"rendered prompt without a model", "POST", "/prompts/pp-1@12/render", apiKey, `{"variables":{}}`, 200,
			`{"success":true,"data":{"model":"portkeytest","messages":[{"role":"user","content":""}]}}`},
		{"feedback", "POST", "/feedback", apiKey, `{"trace_id":"t1","value":-10,"weight":0.5,"metadata":{"a":1}}`, 200,
			feedback},
		{"feedback with a provider", "POST", "/feedback", portkeyHeader("Provider", "openai"),
			`{"trace_id":"t1","value":1}`, 200, feedback},
		{"changed feedback", "PUT", "/feedback/f-1", apiKey, `{"value":1}`, 200,
			strings.Replace(feedback, "feedback-portkeytest", "f-1", 1)},
		{"feedback without a trace ID", "POST", "/feedback", apiKey, `{"value":1}`, 400, "trace_id is required"},
		{"feedback without a value", "POST", "/feedback", apiKey, `{"trace_id":"t1"}`, 400, "value is required"},
		{"feedback with a value that is too large", "POST", "/feedback", apiKey, `{"trace_id":"t1","value":11}`, 400,
			"value is required: an integer from -10 to 10"},
		{"feedback with a fraction", "POST", "/feedback", apiKey, `{"trace_id":"t1","value":0.5}`, 400, "value is required"},
		{"feedback with a weight that is too large", "POST", "/feedback", apiKey,
			`{"trace_id":"t1","value":1,"weight":2}`, 400, "weight must be"},
		{"feedback that is not JSON", "POST", "/feedback", apiKey, `value=1`, 400, "The body must be"},
		{"log", "POST", "/logs", apiKey, oneLog, 200, logSaved},
		{"logs", "POST", "/logs", apiKey, "[" + oneLog + "," + oneLog + "]", 200, logSaved},
		{"log without a response", "POST", "/logs", apiKey, `{"request":{"url":"u","body":{}}}`, 400, "log 0: "},
		{"log that is not JSON", "POST", "/logs", apiKey, `log`, 400, "The body must be"},
		{"models of the catalog", "GET", "/models", apiKey, "", 200, catalog},
		{"models of the catalog, filtered", "GET", "/models",
			portkeyHeader("Provider", "@openai-prod", "Fetch-Integrated-Models", "true"), "", 200,
			strings.ReplaceAll(catalog, "@portkeytest", "@openai-prod")},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			resp, body := send(t, gw, tt.method, tt.path, tt.header, tt.body)
			checkEqual(t, "status", resp.StatusCode, tt.wantStatus)
			if tt.wantStatus != 200 {
				checkContains(t, "body", body, `{"status":"failure","message":"`+tt.want)
				return
			}
			checkJSON(t, "body", body, tt.want)
		})
	}
}

func TestModelsOfAProvider(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	for _, header := range []http.Header{
		portkeyHeader("Provider", "@openai-prod"),
		portkeyHeader("Config", "pc-1"),
		portkeyHeader("Virtual-Key", "vk"),
	} {
		_, body := send(t, gw, "GET", "/models", header, "")
		checkContains(t, "body", body, `"owned_by":"portkeytest"`)
	}
}

func TestSavedPrompt(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	const path = "/prompts/pp-1/completions"
	apiKey := portkeyHeader("Api-Key", "pk")
	resp, body := send(t, gw, "POST", path, apiKey, `{"variables":{"a":"hi"},"model":"m1"}`)
	checkContains(t, "body", body, `"content":"You said: hi"`)
	checkContains(t, "body", body, `"model":"m1"`)
	checkEqual(t, "provider", resp.Header.Get("X-Portkey-Provider"), "openai")

	_, body = send(t, gw, "POST", path, apiKey, `{"variables":{"a":"hi"},"stream":true}`)
	if !strings.HasSuffix(body, "data: [DONE]\n\n") {
		t.Errorf("got %s, want a stream", body)
	}
}

func TestHandlersAndFaultsOfThePortkeyAPI(t *testing.T) {
	t.Parallel()
	gw := portkeytest.NewGateway(t)
	gw.Handle("POST /prompts/{id}/render", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `{"id":"`+r.PathValue("id")+`","provider":"`+r.Header.Get("X-Portkey-Provider")+`"}`)
	}))
	gw.Next(portkeytest.Fault{Status: 503})
	resp, _ := send(t, gw, "POST", "/prompts/pp-1/render", portkeyHeader(), `{}`)
	checkEqual(t, "status", resp.StatusCode, 503)
	_, body := send(t, gw, "POST", "/prompts/pp-1/render", portkeyHeader(), `{}`)
	checkEqual(t, "body", body, `{"id":"pp-1","provider":""}`)
}
