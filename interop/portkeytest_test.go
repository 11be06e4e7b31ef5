package interop

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portkey-go/portkey/portkeytest"
)

// A corpusRequest is sent to portkeytest and to the real gateway, and both have to
// answer alike.
type corpusRequest struct {
	name   string
	method string // POST unless it says another
	path   string
	header http.Header // X-Portkey-Custom-Host is added, and a Content-Type to a body
	body   string

	// answer is the provider's, for both; nil is portkeytest's own.
	answer http.HandlerFunc
	// faults are portkeytest's, where answer is for the real gateway alone.
	faults []portkeytest.Fault
	// real are headers for the real gateway alone, which has no faults.
	real http.Header
}

// corpusDifferences are the requests that the two do not answer alike, on purpose,
// and in what.
var corpusDifferences = map[string]struct{ what, reason string }{
	"config with a slug":      {"body, headers, status", hosted},
	"config of a virtual key": {"body, headers, status", hosted},
	"virtual key alone":       {"body, headers, status", hosted},
	"provider at Portkey":     {"body, headers, status", hosted},
	"prompt at Portkey":       {"body, headers, status", hosted},

	"chat by mistral-ai":          {"body", translated},
	"chat by mistral-ai streamed": {"body", translated},
	"chat by deepseek":            {"body", translated},
	"chat by openrouter":          {"body", translated},
	"chat by together-ai":         {"body", translated},
	"chat by fireworks-ai":        {"body", translated},
	"chat by anthropic":           {"body", translated},
	"chat by anthropic streamed":  {"body", translated},
	"chat by groq streamed":       {"body", translated},
	"HTML by anthropic":           {"body", translated},

	"config that is a list":             {"body", worded},
	"config null with a provider":       {"body", worded},
	"config of nothing with a provider": {"body", worded},
	"config of no key":                  {"body", worded},
	"config of an unknown mode":         {"body", worded},
	"config of a wrong type":            {"body", worded},
	"config of a target without key":    {"body", worded},
	"JSON that is no object":            {"body", "the gateway adds a model, gpt-3.5-turbo"},
	"conditional of no target":          {"body", "Validate sees it before the call, the gateway only when the condition holds"},
	"broken JSON, proxied":              {"body", "the words are those of JavaScript's parser"},
	"trace in UTF-8":                    {"headers", "Node.js encodes it again, but only where it writes the body along with the headers"},
}

const (
	hosted     = "hosted gateway only"
	translated = "portkeytest's answers are OpenAI's own; the gateway adds and leaves out fields, differently for each of these providers"
	worded     = "the faults are worded as Validate words them"
)

const (
	hi       = `{"model":"m1","max_tokens":16,"messages":[{"role":"user","content":"hi there"}]}`
	hiStream = `{"model":"m1","max_tokens":16,"stream":true,"messages":[{"role":"user","content":"hi there"}]}`
	form     = "--boundary-of-the-corpus\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n" +
		"--boundary-of-the-corpus\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.jsonl\"\r\nContent-Type: text/plain\r\n\r\n{}\n\r\n--boundary-of-the-corpus--\r\n"
	formType = "multipart/form-data; boundary=boundary-of-the-corpus"
)

// on returns headers: those of Portkey without their prefix, any other with a
// capital letter in front.
func on(pairs ...string) http.Header {
	h := make(http.Header)
	for i := 0; i < len(pairs); i += 2 {
		key := pairs[i]
		if strings.ToLower(key) == key {
			key = "X-Portkey-" + key
		}
		h.Add(key, pairs[i+1])
	}
	return h
}

// fallback is a config of openai and groq.
const twoTargets = `"targets":[{"name":"a","provider":"openai","api_key":"k1"},{"name":"b","provider":"groq","api_key":"k2"}]`

var (
	openAI    = on("provider", "openai", "Authorization", "Bearer sk-1")
	azure     = on("provider", "azure-openai", "azure-resource-name", "r1", "azure-deployment-id", "d1", "azure-api-version", "2024-06-01")
	anthropic = on("provider", "anthropic", "X-Api-Key", "sk-1")
	hangs     = func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	hangsUp   = func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
)

func config(text string, more ...string) http.Header {
	return on(append([]string{"config", text}, more...)...)
}

func saying(status int, contentType, body string, header ...string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		for i := 0; i < len(header); i += 2 {
			w.Header().Set(header[i], header[i+1])
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		io.WriteString(w, body)
	}
}

func failure(status int) http.HandlerFunc {
	return saying(status, "application/json", fmt.Sprintf(`{"error":{"message":"says %d","type":"t","param":null,"code":"c"}}`, status),
		"Retry-After", "7", "X-Request-Id", "req-1")
}

// corpus are the requests.
var corpus = []corpusRequest{
	// What is answered.
	{name: "chat", path: "/v1/chat/completions", header: openAI, body: hi},
	{name: "chat streamed", path: "/v1/chat/completions", header: openAI, body: hiStream},
	{name: "chat streamed with usage", path: "/v1/chat/completions", header: openAI,
		body: `{"model":"m1","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}`},
	{name: "chat of parts", path: "/v1/chat/completions", header: openAI,
		body: `{"model":"m1","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}`},
	{name: "chat without content type", path: "/v1/chat/completions", header: on("provider", "openai", "Content-Type", ""), body: hi,
		answer: func(w http.ResponseWriter, r *http.Request) {
			body, _ := io.ReadAll(r.Body)
			saying(400, "application/json", fmt.Sprintf(`{"error":{"message":"body of %d bytes","type":"t","param":null,"code":null}}`, len(body)))(w, r)
		}},
	{name: "chat by groq", path: "/v1/chat/completions", header: on("provider", "groq"), body: hi},
	{name: "chat by azure-openai", path: "/v1/chat/completions", header: azure, body: hi},
	{name: "chat by mistral-ai", path: "/v1/chat/completions", header: on("provider", "mistral-ai"), body: hi},
	{name: "chat by deepseek", path: "/v1/chat/completions", header: on("provider", "deepseek"), body: hi},
	{name: "chat by openrouter", path: "/v1/chat/completions", header: on("provider", "openrouter"), body: hi},
	{name: "chat by together-ai", path: "/v1/chat/completions", header: on("provider", "together-ai"), body: hi},
	{name: "chat by fireworks-ai", path: "/v1/chat/completions", header: on("provider", "fireworks-ai"), body: hi},
	{name: "chat by x-ai", path: "/v1/chat/completions", header: on("provider", "x-ai"), body: hi},
	{name: "chat by anthropic", path: "/v1/chat/completions", header: anthropic, body: hi},
	{name: "chat by azure-openai streamed", path: "/v1/chat/completions", header: azure, body: hiStream},
	{name: "chat by groq streamed", path: "/v1/chat/completions", header: on("provider", "groq"), body: hiStream},
	{name: "chat by mistral-ai streamed", path: "/v1/chat/completions", header: on("provider", "mistral-ai"), body: hiStream},
	{name: "chat by anthropic streamed", path: "/v1/chat/completions", header: anthropic, body: hiStream},
	{name: "completion", path: "/v1/completions", header: openAI, body: `{"model":"m1","prompt":"hi there"}`},
	{name: "completion streamed", path: "/v1/completions", header: openAI, body: `{"model":"m1","prompt":"hi there","stream":true}`},
	{name: "completion by groq", path: "/v1/completions", header: on("provider", "groq"), body: `{"model":"m1","prompt":"hi"}`},
	{name: "responses", path: "/v1/responses", header: openAI, body: `{"model":"m1","input":"hi there"}`},
	{name: "responses streamed", path: "/v1/responses", header: openAI, body: `{"model":"m1","input":"hi there","stream":true}`},
	{name: "responses by groq", path: "/v1/responses", header: on("provider", "groq"), body: `{"model":"m1","input":"hi"}`},
	{name: "messages", path: "/v1/messages", header: anthropic, body: hi},
	{name: "messages streamed", path: "/v1/messages", header: anthropic, body: hiStream},
	{name: "messages by openai", path: "/v1/messages", header: openAI, body: hi},
	{name: "count tokens", path: "/v1/messages/count_tokens", header: anthropic, body: hi},
	{name: "embeddings", path: "/v1/embeddings", header: openAI, body: `{"model":"m1","input":["one","two"]}`},
	{name: "embeddings in base64", path: "/v1/embeddings", header: openAI, body: `{"model":"m1","input":"one","encoding_format":"base64"}`},
	{name: "embeddings by mistral-ai", path: "/v1/embeddings", header: on("provider", "mistral-ai"), body: `{"model":"m1","input":["one"]}`},
	{name: "embeddings by groq", path: "/v1/embeddings", header: on("provider", "groq"), body: `{"model":"m1","input":["one"]}`},
	{name: "images", path: "/v1/images/generations", header: openAI, body: `{"model":"m1","prompt":"a cat"}`},
	{name: "images in base64", path: "/v1/images/generations", header: openAI, body: `{"model":"m1","prompt":"a cat","response_format":"b64_json"}`},
	{name: "models", method: "GET", path: "/v1/models", header: openAI},
	{name: "models with a query", method: "GET", path: "/v1/models?limit=3&after=a%2Fb", header: openAI},
	{name: "models by groq", method: "GET", path: "/v1/models", header: on("provider", "groq")},
	{name: "models, head only", method: "HEAD", path: "/v1/models", header: openAI},
	{name: "model", method: "GET", path: "/v1/models/org/m1", header: openAI},
	{name: "file upload", path: "/v1/files", header: on("provider", "openai", "Content-Type", formType), body: form},
	{name: "file upload without file", path: "/v1/files", header: on("provider", "openai", "Content-Type", formType), body: "--boundary-of-the-corpus--\r\n"},
	{name: "files", method: "GET", path: "/v1/files?purpose=batch", header: openAI},
	{name: "file", method: "GET", path: "/v1/files/file-1", header: openAI},
	{name: "file content", method: "GET", path: "/v1/files/file-1/content", header: openAI},
	{name: "file deletion", method: "DELETE", path: "/v1/files/file-1", header: openAI},
	{name: "files by groq", method: "GET", path: "/v1/files", header: on("provider", "groq")},

	// What no provider answers, which is the provider's to say.
	{name: "rerank", path: "/v1/rerank", header: openAI, body: `{"query":"q"}`},
	{name: "rerank of a form", path: "/v1/rerank", header: on("provider", "openai", "Content-Type", formType), body: form},
	{name: "rerank of audio", path: "/v1/rerank", header: on("provider", "openai", "Content-Type", "audio/mpeg"), body: "x"},
	{name: "speech", path: "/v1/audio/speech", header: openAI, body: `{"model":"m1","input":"hi","voice":"alloy"}`},
	{name: "transcription", path: "/v1/audio/transcriptions", header: on("provider", "openai", "Content-Type", formType), body: form},
	{name: "transcription by groq", path: "/v1/audio/transcriptions", header: on("provider", "groq", "Content-Type", formType), body: form},
	{name: "batches", method: "GET", path: "/v1/batches", header: openAI},
	{name: "batch", path: "/v1/batches", header: openAI, body: `{"input_file_id":"f","endpoint":"/v1/chat/completions","completion_window":"24h"}`},
	{name: "response", method: "GET", path: "/v1/responses/resp_1", header: openAI},
	{name: "fine-tuning job put", method: "PUT", path: "/v1/fine_tuning/jobs", header: openAI, body: "{}", answer: failure(404)},
	{name: "chat got", method: "GET", path: "/v1/chat/completions/c1", header: openAI},
	{name: "chat deleted", method: "DELETE", path: "/v1/chat/completions/c1", header: openAI},
	{name: "chat with a slash at the end", path: "/v1/chat/completions/", header: openAI, body: hi},
	{name: "proxied chat", path: "/v1/proxy/chat/completions", header: openAI, body: hi},
	{name: "proxied models", method: "GET", path: "/v1/proxy/models", header: openAI},

	// What the gateway refuses.
	{name: "neither provider nor config", path: "/v1/chat/completions", body: hi},
	{name: "neither provider nor config, got", method: "GET", path: "/v1/models", header: on("api-key", "pk")},
	{name: "provider that is none", path: "/v1/chat/completions", header: on("provider", "nope"), body: hi},
	{name: "provider in capitals", path: "/v1/chat/completions", header: on("provider", "OpenAI"), body: hi},
	{name: "provider twice", path: "/v1/chat/completions", header: on("provider", "openai", "provider", "openai"), body: hi},
	{name: "provider that is not there", path: "/v1/chat/completions", header: on("provider", "cortex"), body: hi},
	{name: "provider without chat", path: "/v1/chat/completions", header: on("provider", "jina"), body: hi},
	{name: "private host", path: "/v1/chat/completions", header: on("provider", "openai", "custom-host", "http://10.0.0.1/v1"), body: hi},
	{name: "host of Portkey", path: "/v1/chat/completions", header: on("provider", "openai", "custom-host", "https://api.portkey.ai/v1"), body: hi},
	{name: "host without scheme", path: "/v1/chat/completions", header: on("provider", "openai", "custom-host", "llm.example.com"), body: hi},
	{name: "host with credentials", path: "/v1/chat/completions", header: on("provider", "openai", "custom-host", "http://u:p@127.0.0.1/v1"), body: hi},
	{name: "host by IPv6", path: "/v1/chat/completions", header: on("provider", "openai", "custom-host", "http://[::1]/v1"), body: hi},
	{name: "host in the office", path: "/v1/chat/completions", header: on("provider", "openai", "custom-host", "http://llm.internal/v1"), body: hi},
	{name: "host with a port that is none", path: "/v1/chat/completions", header: on("provider", "openai", "custom-host", "http://127.0.0.1:0/v1"), body: hi},
	{name: "content type text", path: "/v1/chat/completions", header: on("provider", "openai", "Content-Type", "text/plain"), body: hi},
	{name: "content type octets, proxied", path: "/v1/rerank", header: on("provider", "openai", "Content-Type", "application/octet-stream"), body: hi},
	{name: "content type in capitals", path: "/v1/chat/completions", header: on("provider", "openai", "Content-Type", "Application/JSON"), body: hi},
	{name: "content type with charset", path: "/v1/chat/completions", header: on("provider", "openai", "Content-Type", "application/json; charset=utf-8"), body: hi},
	{name: "broken JSON", path: "/v1/chat/completions", header: openAI, body: `{`},
	{name: "no JSON at all", path: "/v1/embeddings", header: openAI, body: ``},
	{name: "JSON that is no object", path: "/v1/chat/completions", header: openAI, body: `[]`},
	{name: "broken JSON, proxied", path: "/v1/rerank", header: openAI, body: `{`},
	{name: "chat as a form", path: "/v1/chat/completions", header: on("provider", "openai", "Content-Type", formType), body: form},
	{name: "form that is none", path: "/v1/audio/transcriptions", header: on("provider", "openai", "Content-Type", formType), body: "x"},
	{name: "form that is none, proxied", path: "/v1/rerank", header: on("provider", "openai", "Content-Type", formType), body: "x"},
	{name: "headers of 16 KB", method: "GET", path: "/v1/models", header: on("provider", "openai", "metadata", strings.Repeat("a", 17<<10))},
	{name: "headers of 15 KB", method: "GET", path: "/v1/models", header: on("provider", "openai", "metadata", strings.Repeat("a", 15<<10))},
	{name: "put", method: "PUT", path: "/v1/models", header: openAI, body: "{}"},
	{name: "patch", method: "PATCH", path: "/v1/chat/completions", header: openAI, body: "{}"},
	{name: "options", method: "OPTIONS", path: "/v1/chat/completions", header: openAI},
	{name: "outside of /v1", path: "/chat/completions", header: openAI, body: hi},
	{name: "the root", method: "GET", path: "/"},
	{name: "the base URL", method: "GET", path: "/v1", header: openAI},
	{name: "the base URL, posted to", path: "/v1", header: openAI, body: "{}"},

	// Configs.
	{name: "config with a slug", path: "/v1/chat/completions", header: config("pc-1"), body: hi},
	{name: "config that is text", path: "/v1/chat/completions", header: config("fallback"), body: hi},
	{name: "config that is broken", path: "/v1/chat/completions", header: config(`{"provider":"openai"`), body: hi},
	{name: "config null", path: "/v1/chat/completions", header: config(`null`), body: hi},
	{name: "config null with a provider", path: "/v1/chat/completions", header: config(`null`, "provider", "openai"), body: hi},
	{name: "config that is a list", path: "/v1/chat/completions", header: config(`[]`, "provider", "openai"), body: hi},
	{name: "config of nothing", path: "/v1/chat/completions", header: config(`{}`), body: hi},
	{name: "config of nothing with a provider", path: "/v1/chat/completions", header: config(`{}`, "provider", "openai"), body: hi},
	{name: "config of no key", path: "/v1/chat/completions", header: config(`{"provider":"openai"}`), body: hi},
	{name: "config of an unknown provider", path: "/v1/chat/completions", header: config(`{"provider":"nope","api_key":"k"}`), body: hi},
	{name: "config of a wrong type", path: "/v1/chat/completions", header: config(`{"provider":"openai","api_key":1}`), body: hi},
	{name: "config of an unknown mode", path: "/v1/chat/completions", header: config(`{"strategy":{"mode":"best"},` + twoTargets + `}`), body: hi},
	{name: "config of a target without key", path: "/v1/chat/completions",
		header: config(`{"strategy":{"mode":"fallback"},"targets":[{"provider":"openai","api_key":"k"},{"provider":"groq"}]}`), body: hi},
	{name: "config of a private host", path: "/v1/chat/completions", header: config(`{"provider":"openai","api_key":"k","custom_host":"http://10.0.0.1"}`), body: hi},
	{name: "config that is old", path: "/v1/chat/completions", header: config(`{"provider":"openai","api_key":"k","options":[{}]}`), body: hi},
	{name: "config of a virtual key", path: "/v1/chat/completions", header: config(`{"virtual_key":"vk"}`), body: hi},
	{name: "virtual key alone", path: "/v1/chat/completions", header: on("virtual-key", "vk"), body: hi},
	{name: "provider at Portkey", path: "/v1/chat/completions", header: on("provider", "@openai-prod"), body: hi},
	{name: "prompt at Portkey", path: "/v1/prompts/p1/completions", header: openAI, body: `{"variables":{}}`},
	{name: "config of one provider", path: "/v1/chat/completions", header: config(`{"provider":"groq","api_key":"k2"}`), body: hi},
	{name: "config goes before the provider", path: "/v1/chat/completions", header: config(`{"provider":"groq","api_key":"k2"}`, "provider", "openai"), body: hi},
	{name: "config of a cache", path: "/v1/chat/completions", header: config(`{"cache":{"mode":"simple"}}`, "provider", "openai"), body: hi},
	{name: "fallback, not needed", path: "/v1/chat/completions", header: config(`{"strategy":{"mode":"fallback"},` + twoTargets + `}`), body: hi},
	{name: "fallback", path: "/v1/chat/completions", header: config(`{"strategy":{"mode":"fallback"},` + twoTargets + `}`), body: hi,
		answer: failing("k1", 503)},
	{name: "fallback by a fault", path: "/v1/chat/completions", header: config(`{"strategy":{"mode":"fallback"},` + twoTargets + `}`), body: hi,
		answer: failing("k1", 503), faults: []portkeytest.Fault{{Status: 503}}},
	{name: "fallback streamed", path: "/v1/chat/completions", header: config(`{"strategy":{"mode":"fallback"},"targets":[{"provider":"openai","api_key":"k1"},{"provider":"openai","api_key":"k2"}]}`),
		body: hiStream, answer: failing("k1", 503)},
	{name: "fallback when all fail", path: "/v1/chat/completions", header: config(`{"strategy":{"mode":"fallback"},` + twoTargets + `}`), body: hi,
		answer: failure(502)},
	{name: "fallback on other statuses", path: "/v1/chat/completions", header: config(`{"strategy":{"mode":"fallback","on_status_codes":[429]},` + twoTargets + `}`),
		body: hi, answer: failing("k1", 503)},
	{name: "fallback from a provider that hangs up", path: "/v1/chat/completions", header: config(`{"strategy":{"mode":"fallback"},` + twoTargets + `}`), body: hi,
		answer: func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer k1" {
				hangsUp(w, r)
			}
			answerOpenAI(w, r)
		}},
	{name: "fallback ends at an exception", path: "/v1/embeddings", header: config(`{"strategy":{"mode":"fallback"},"targets":[` +
		`{"provider":"groq","api_key":"k1"},{"provider":"openai","api_key":"k2"}]}`), body: `{"model":"m1","input":"hi"}`},
	{name: "loadbalance", path: "/v1/chat/completions", header: config(`{"strategy":{"mode":"loadbalance"},"targets":[` +
		`{"provider":"openai","api_key":"k1","weight":0},{"provider":"groq","api_key":"k2","weight":0.5}]}`), body: hi},
	{name: "loadbalance of models", method: "GET", path: "/v1/models", header: config(`{"strategy":{"mode":"loadbalance"},"targets":[` +
		`{"provider":"openai","api_key":"k1","weight":0},{"provider":"groq","api_key":"k2","weight":1}]}`)},
	{name: "single", path: "/v1/chat/completions", header: config(`{"strategy":{"mode":"single"},` + twoTargets + `}`), body: hi},
	{name: "conditional by metadata", path: "/v1/chat/completions", body: hi,
		header: config(conditionalOn(`{"metadata.plan":{"$eq":"paid"}}`), "metadata", `{"plan":"paid"}`)},
	{name: "conditional by metadata of others", path: "/v1/chat/completions", body: hi,
		header: config(conditionalOn(`{"metadata.plan":{"$eq":"paid"}}`), "metadata", `{"plan":"free"}`)},
	{name: "conditional by metadata that is none", path: "/v1/chat/completions", body: hi,
		header: config(conditionalOn(`{"metadata.plan":{"$eq":"paid"}}`), "metadata", `plan=paid`)},
	{name: "conditional by metadata in UTF-8", path: "/v1/chat/completions", body: hi,
		header: config(conditionalOn(`{"metadata.plan":{"$eq":"g\u00f4ld"}}`), "metadata", `{"plan":"gôld"}`)},
	{name: "conditional by metadata in ASCII", path: "/v1/chat/completions", body: hi,
		header: config(conditionalOn(`{"metadata.plan":{"$eq":"g\u00f4ld"}}`), "metadata", `{"plan":"g\u00f4ld"}`)},
	{name: "conditional by parameters", path: "/v1/chat/completions", body: hi,
		header: config(conditionalOn(`{"$and":[{"params.model":{"$in":["m1","m2"]}},{"params.max_tokens":{"$gte":16}},{"params.max_tokens":{"$lt":"17"}}]}`))},
	{name: "conditional by text that is no number", path: "/v1/chat/completions", body: hi,
		header: config(conditionalOn(`{"params.max_tokens":"16"}`))},
	{name: "conditional by either", path: "/v1/chat/completions", body: hi,
		header: config(conditionalOn(`{"$or":[{"params.model":"m2"},{"params.model":{"$regex":"^m\\d$"}}]}`))},
	{name: "conditional by the path", path: "/v1/chat/completions", body: hi,
		header: config(conditionalOn(`{"url.pathname":{"$ne":"/v1/chat/completions"}}`))},
	{name: "conditional of no target", path: "/v1/chat/completions", body: hi,
		header: config(`{"strategy":{"mode":"conditional","default":"a","conditions":[{"query":{"params.model":"m1"},"then":"zz"}]},` + twoTargets + `}`)},
	{name: "targets of targets", path: "/v1/chat/completions", body: hi, answer: failing("k1", 500),
		header: config(`{"strategy":{"mode":"fallback"},"targets":[{"provider":"openai","api_key":"k1"},{"strategy":{"mode":"single"},` + strings.Replace(twoTargets, "k1", "k3", 1) + `}]}`)},
	{name: "retry and timeout of all targets", path: "/v1/chat/completions", body: hi,
		header: config(`{"retry":{"attempts":1,"on_status_codes":[408]},"request_timeout":50,"strategy":{"mode":"fallback"},` + twoTargets + `}`),
		answer: func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer k1" {
				hangs(w, r)
			}
			answerOpenAI(w, r)
		}},
	{name: "retry of the last of all targets", path: "/v1/chat/completions", body: hi, answer: failure(503),
		header: config(`{"retry":{"attempts":1},"strategy":{"mode":"single"},` + twoTargets + `}`)},
	{name: "retry, not needed", path: "/v1/chat/completions", header: config(`{"retry":{"attempts":2}}`, "provider", "openai"), body: hi},
	{name: "retry used up", path: "/v1/chat/completions", header: config(`{"retry":{"attempts":1}}`, "provider", "openai"), body: hi, answer: failure(503)},
	{name: "retry", path: "/v1/chat/completions", header: config(`{"retry":{"attempts":2}}`, "provider", "openai"), body: hi,
		answer: failingOnce(), faults: []portkeytest.Fault{{Status: 429}}},
	{name: "retry of models", method: "GET", path: "/v1/models", header: config(`{"retry":{"attempts":1}}`, "provider", "openai"), answer: failure(500)},
	{name: "retry not of 400", path: "/v1/chat/completions", header: config(`{"retry":{"attempts":1}}`, "provider", "openai"), body: hi, answer: failure(400)},
	{name: "retry on other statuses", path: "/v1/chat/completions", header: config(`{"retry":{"attempts":1,"on_status_codes":[418]}}`, "provider", "openai"), body: hi, answer: failure(500)},
	{name: "retry of a provider that hangs up", path: "/v1/chat/completions", header: config(`{"retry":{"attempts":1}}`, "provider", "openai"), body: hi, answer: hangsUp},

	// Traces and metadata.
	{name: "trace", path: "/v1/chat/completions", header: on("provider", "openai", "trace-id", "t-1", "metadata", `{"_user":"u1"}`), body: hi},
	{name: "trace with spaces and quotes", path: "/v1/chat/completions", header: on("provider", "openai", "trace-id", `a "b" c`), body: hi},
	{name: "trace in UTF-8", path: "/v1/chat/completions", header: on("provider", "openai", "trace-id", "gôld 金"), body: hi},
	{name: "trace of 4000 characters", path: "/v1/chat/completions", header: on("provider", "openai", "trace-id", strings.Repeat("t", 4000)), body: hi},
	{name: "trace twice", path: "/v1/chat/completions", header: on("provider", "openai", "trace-id", "t-1", "trace-id", "t-2"), body: hi},
	{name: "trace of a proxied request", method: "GET", path: "/v1/models", header: on("provider", "openai", "trace-id", "t-1")},
	{name: "trace of a refused request", path: "/v1/chat/completions", header: on("provider", "nope", "trace-id", "t-1"), body: hi},
	{name: "trace of an exception", path: "/v1/embeddings", header: on("provider", "groq", "trace-id", "t-1"), body: `{"model":"m1","input":"hi"}`},
	{name: "metadata of numbers", path: "/v1/chat/completions", header: on("provider", "openai", "metadata", `{"n":1}`), body: hi},
	{name: "metadata that is none", path: "/v1/chat/completions", header: on("provider", "openai", "metadata", `_user=u1`), body: hi},

	// Providers that fail.
	{name: "400", path: "/v1/chat/completions", header: openAI, body: hi, answer: failure(400)},
	{name: "401", path: "/v1/chat/completions", header: openAI, body: hi, answer: failure(401)},
	{name: "429", path: "/v1/chat/completions", header: openAI, body: hi, answer: failure(429)},
	{name: "500", path: "/v1/chat/completions", header: openAI, body: hi, answer: failure(500)},
	{name: "503", path: "/v1/chat/completions", header: openAI, body: hi, answer: failure(503)},
	{name: "412", path: "/v1/chat/completions", header: openAI, body: hi, answer: failure(412)},
	{name: "429 streamed", path: "/v1/chat/completions", header: openAI, body: hiStream, answer: failure(429)},
	{name: "429 by groq", path: "/v1/chat/completions", header: on("provider", "groq"), body: hi, answer: failure(429)},
	{name: "429 of messages", path: "/v1/messages", header: anthropic, body: hi,
		answer: saying(429, "application/json", `{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}`)},
	{name: "429 of embeddings", path: "/v1/embeddings", header: openAI, body: `{"model":"m1","input":"hi"}`, answer: failure(429)},
	{name: "429 of embeddings by azure-openai", path: "/v1/embeddings", header: azure, body: `{"model":"m1","input":"hi"}`, answer: failure(429)},
	{name: "429 of responses", path: "/v1/responses", header: openAI, body: `{"model":"m1","input":"hi"}`, answer: failure(429)},
	{name: "429 of models", method: "GET", path: "/v1/models", header: openAI, answer: failure(429)},
	{name: "429 of files", method: "GET", path: "/v1/files", header: openAI, answer: failure(429)},
	{name: "429 by a fault", path: "/v1/chat/completions", header: openAI, body: hi, faults: []portkeytest.Fault{{Status: 429, RetryAfter: 7 * time.Second}},
		answer: saying(429, "application/json", `{"error":{"message":"429 Too Many Requests","type":"requests","param":null,"code":"rate_limit_exceeded"}}`, "Retry-After", "7")},
	{name: "503 by a fault", method: "GET", path: "/v1/models", header: openAI, faults: []portkeytest.Fault{{Status: 503}},
		answer: saying(503, "application/json", `{"error":{"message":"503 Service Unavailable","type":"server_error","param":null,"code":null}}`)},
	{name: "other errors", path: "/v1/chat/completions", header: openAI, body: hi, answer: saying(422, "application/json", `{"detail":"no"}`)},
	{name: "HTML", path: "/v1/chat/completions", header: openAI, body: hi, answer: saying(502, "text/html", "<h1>bad</h1>")},
	{name: "HTML of responses", path: "/v1/responses", header: openAI, body: hi, answer: saying(502, "text/html", "<h1>bad</h1>")},
	{name: "HTML of models", method: "GET", path: "/v1/models", header: openAI, answer: saying(502, "text/html", "<h1>bad</h1>")},
	{name: "HTML by groq", path: "/v1/chat/completions", header: on("provider", "groq"), body: hi, answer: saying(502, "text/html", "<h1>bad</h1>")},
	{name: "HTML by anthropic", path: "/v1/messages", header: anthropic, body: hi, answer: saying(502, "text/html", "<h1>bad</h1>")},
	{name: "text", path: "/v1/chat/completions", header: openAI, body: hi, answer: saying(200, "text/plain; charset=utf-8", "hello")},
	{name: "answer that is broken JSON", path: "/v1/chat/completions", header: openAI, body: hi, answer: saying(200, "application/json", `{"a":`)},
	{name: "answer that is broken JSON, by a fault", path: "/v1/chat/completions", header: openAI, body: hi,
		faults: []portkeytest.Fault{{Malformed: true}}, answer: saying(200, "application/json", `{"a":`)},
	{name: "answer that is broken JSON of models", method: "GET", path: "/v1/models", header: openAI, answer: saying(200, "application/json", `{"a":`)},
	{name: "error that is broken JSON", path: "/v1/chat/completions", header: openAI, body: hi, answer: saying(500, "application/json", `{"a":`)},
	{name: "answer that is empty", path: "/v1/chat/completions", header: openAI, body: hi, answer: saying(200, "application/json", "")},
	{name: "stream with broken JSON", path: "/v1/chat/completions", header: openAI, body: hiStream,
		answer: saying(200, "text/event-stream", "data: {\"id\":\"c\"}\n\ndata: {\"id\":\n\ndata: [DONE]\n\n")},
	{name: "stream that breaks off", path: "/v1/chat/completions", header: openAI, body: hiStream, answer: func(w http.ResponseWriter, r *http.Request) {
		saying(200, "text/event-stream", "data: {\"id\":\"c\"}\n\n")(w, r)
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	}},
	{name: "provider that hangs up", path: "/v1/chat/completions", header: openAI, body: hi, answer: hangsUp},
	{name: "provider that hangs up on models", method: "GET", path: "/v1/models", header: openAI, answer: hangsUp},
	{name: "timeout", path: "/v1/chat/completions", header: on("provider", "openai", "request-timeout", "50"), body: hi, answer: hangs},
	{name: "timeout by a fault", path: "/v1/chat/completions", header: on("provider", "openai", "request-timeout", "50.5"), body: hi, answer: hangs,
		faults: []portkeytest.Fault{{Delay: time.Hour}}},
	{name: "timeout of models", method: "GET", path: "/v1/models", header: on("provider", "groq", "request-timeout", "50"), answer: hangs},
	{name: "timeout of a config", path: "/v1/chat/completions", header: config(`{"request_timeout":50}`, "provider", "openai"), body: hi, answer: hangs},
	{name: "timeout, then fallback", path: "/v1/chat/completions", body: hi,
		header: config(`{"strategy":{"mode":"fallback"},"targets":[{"provider":"openai","api_key":"k1","request_timeout":50},{"provider":"groq","api_key":"k2"}]}`),
		answer: func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer k1" {
				hangs(w, r)
			}
			answerOpenAI(w, r)
		}},
	{name: "timeout that is none", path: "/v1/chat/completions", header: on("provider", "openai", "request-timeout", "50ms"), body: hi},
	{name: "headers of the provider", path: "/v1/chat/completions", header: openAI, body: hi,
		answer: saying(200, "application/json", `{"id":"c","choices":[]}`, "X-Ratelimit-Remaining", "5", "X-Portkey-Foo", "bar", "X-Request-Id", "req-1")},
	{name: "exception by a fault", path: "/v1/embeddings", header: openAI, body: `{"model":"m1","input":"hi"}`, real: on("provider", "groq"),
		faults: []portkeytest.Fault{{Exception: "embed is not supported by groq"}}},
	{name: "guardrail that denies", path: "/v1/chat/completions", header: openAI, body: hi, real: config(guardrail("true")),
		faults: []portkeytest.Fault{{Status: 446}}},
	{name: "guardrail that denies a stream", path: "/v1/chat/completions", header: openAI, body: hiStream, real: config(guardrail("true")),
		faults: []portkeytest.Fault{{Status: 446}}},
	{name: "guardrail that fails", path: "/v1/chat/completions", header: openAI, body: hi, real: config(guardrail("false")),
		faults: []portkeytest.Fault{{Status: 246}}},
	{name: "guardrail that fails a stream", path: "/v1/chat/completions", header: openAI, body: hiStream, real: config(guardrail("false")),
		faults: []portkeytest.Fault{{Status: 246}}},
}

func guardrail(deny string) string {
	return `{"provider":"openai","api_key":"k","input_guardrails":[{"default.contains":{"words":["hi"],"operator":"none"},"deny":` + deny + `}]}`
}

func conditionalOn(query string) string {
	return `{"strategy":{"mode":"conditional","default":"a","conditions":[{"query":` + query + `,"then":"b"}]},` + twoTargets + `}`
}

// failingOnce fails at the first call only.
func failingOnce() http.HandlerFunc {
	var once sync.Once
	return func(w http.ResponseWriter, r *http.Request) {
		failed := false
		once.Do(func() { failed = true })
		if failed {
			failure(429)(w, r)
			return
		}
		answerOpenAI(w, r)
	}
}

// An answer is what is compared of an answer.
type answer struct {
	Status      int
	ContentType string
	Header      map[string]string // x-portkey-*, and what a provider says in headers
	Body        any
}

func TestPortkeytestAnswersAsTheGatewayDoes(t *testing.T) {
	t.Parallel()
	real, err := url.Parse(gatewayURL(t))
	if err != nil {
		t.Fatal(err)
	}
	if len(corpus) < 60 {
		t.Errorf("requests: got %d, want 60 at least", len(corpus))
	}
	own := portkeytest.NewGateway(t) // stands for the providers of the real one
	u := newUpstream(t, provider(t, own))

	var mu sync.Mutex
	used := make(map[string]bool)
	equal := 0
	inParallel(len(corpus), func(i int) {
		r := corpus[i]
		got := r.atPortkeytest(t)
		want := r.send(t, real.Scheme+"://"+real.Host, r.real, http.Header{"X-Portkey-Custom-Host": {u.URL + fmt.Sprintf("/%d/v1", i)}})
		what := got.differsIn(want)

		mu.Lock()
		defer mu.Unlock()
		if used[r.name] {
			t.Errorf("%s: there are two of that name", r.name)
		}
		used[r.name] = true
		switch d := corpusDifferences[r.name]; {
		case what != d.what:
			t.Errorf("%s: they differ in %q, want %q\nportkeytest %s\ngateway     %s", r.name, what, d.what, got, want)
		case what == "":
			equal++
		}
	})
	for _, name := range slices.Sorted(maps.Keys(corpusDifferences)) {
		if !used[name] {
			t.Errorf("%s: there is no such request, but it is listed as different (%s)", name, corpusDifferences[name].reason)
		}
	}
	t.Logf("%d requests, %d answered alike, %d differ as listed", len(corpus), equal, len(corpusDifferences))
}

// provider answers the real gateway's calls as the request of the corpus says
// whose number the path begins with.
func provider(t *testing.T, own *portkeytest.Gateway) http.HandlerFunc {
	target, err := url.Parse(own.URL() + "/proxy")
	if err != nil {
		t.Fatal(err)
	}
	proxy := httputil.ReverseProxy{
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Header.Set("X-Portkey-Provider", "openai")
			if r.In.Method == http.MethodHead {
				r.Out.Header.Del("Content-Type")
			}
		},
		ModifyResponse: func(resp *http.Response) error {
			maps.DeleteFunc(resp.Header, func(key string, _ []string) bool { return strings.HasPrefix(key, "X-Portkey-") })
			return nil
		},
		FlushInterval: -1,
	}
	return func(w http.ResponseWriter, r *http.Request) {
		var i int
		number, rest, _ := strings.Cut(r.URL.Path[1:], "/")
		if _, err := fmt.Sscan(number, &i); err != nil {
			t.Errorf("upstream: got %s, want a number in front", r.URL)
			return
		}
		for {
			cut, ok := strings.CutPrefix("/"+rest, "/v1")
			if !ok {
				break
			}
			rest = strings.TrimPrefix(cut, "/")
		}
		r.URL.Path, r.URL.RawPath = "/"+strings.TrimPrefix(rest, "deployments/d1/"), ""
		if answer := corpus[i].answer; answer != nil {
			answer(w, r)
			return
		}
		proxy.ServeHTTP(w, r)
	}
}

func (r *corpusRequest) atPortkeytest(t *testing.T) answer {
	gw := portkeytest.Start()
	defer gw.Close()
	if r.faults != nil {
		gw.Next(r.faults...)
		if r.answer != nil {
			gw.Handle("/", http.HandlerFunc(answerOpenAI))
		}
	} else if r.answer != nil {
		gw.Handle("/", r.answer)
	}
	return r.send(t, strings.TrimSuffix(gw.URL(), "/v1"), http.Header{"X-Portkey-Custom-Host": {"http://127.0.0.1:8000/v1"}})
}

// send sends the request, with more headers where it does not have them already.
func (r *corpusRequest) send(t *testing.T, base string, more ...http.Header) (a answer) {
	method := r.method
	if method == "" {
		method = http.MethodPost
	}
	req, err := http.NewRequestWithContext(bounded(t), method, base+r.path, strings.NewReader(r.body))
	if err != nil {
		t.Error(err)
		return a
	}
	if r.header != nil {
		req.Header = r.header.Clone()
	}
	if r.body != "" && req.Header["Content-Type"] == nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for _, h := range more {
		for key, values := range h {
			if req.Header[key] == nil || key != "X-Portkey-Custom-Host" {
				req.Header[key] = values
			}
		}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Errorf("%s: %v", r.name, err)
		return a
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s: %v", r.name, err)
	}
	a = answer{resp.StatusCode, strings.ToLower(strings.ReplaceAll(resp.Header.Get("Content-Type"), " ", "")), map[string]string{}, bodyOf(body)}
	for key, values := range resp.Header {
		switch {
		case strings.HasPrefix(key, "X-Portkey-"), key == "Retry-After", key == "X-Request-Id", key == "X-Ratelimit-Remaining":
			a.Header[key] = strings.Join(values, ", ")
		}
	}
	return a
}

// differsIn returns in what two answers differ.
func (a answer) differsIn(b answer) string {
	var what []string
	for name, same := range map[string]bool{
		"body": reflect.DeepEqual(a.Body, b.Body), "content type": a.ContentType == b.ContentType,
		"headers": maps.Equal(a.Header, b.Header), "status": a.Status == b.Status,
	} {
		if !same {
			what = append(what, name)
		}
	}
	slices.Sort(what)
	return strings.Join(what, ", ")
}

func (a answer) String() string {
	b, _ := json.Marshal(a)
	return string(b)
}

// bodyOf returns the value of JSON, the events of a stream, and anything else as
// it is. What a guardrail found, and when, is only a matter of keys and types.
func bodyOf(body []byte) any {
	var v any
	if json.Unmarshal(body, &v) == nil {
		if object, ok := v.(map[string]any); ok && object["hook_results"] != nil {
			object["hook_results"] = shape(object["hook_results"])
		}
		return v
	}
	if !bytes.HasPrefix(body, []byte("data:")) && !bytes.HasPrefix(body, []byte("event:")) {
		return string(body)
	}
	var events []any
	for text := range strings.SplitSeq(string(body), "\n\n") {
		name, data, _ := strings.Cut(text, "data: ")
		var v any
		if json.Unmarshal([]byte(data), &v) != nil {
			v = data
		}
		events = append(events, []any{name, v})
	}
	return events
}

// shape replaces the values in a value by their types.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, e := range v {
			v[key] = shape(e)
		}
		return v
	case []any:
		for i, e := range v {
			v[i] = shape(e)
		}
		return v
	}
	return fmt.Sprintf("%T", v)
}

// The gateway says which providers it knows, and of each which endpoints it lacks.
func TestPortkeytestKnowsTheProvidersThatTheGatewayKnows(t *testing.T) {
	t.Parallel()
	real, err := url.Parse(gatewayURL(t))
	if err != nil {
		t.Fatal(err)
	}
	u := newUpstream(t, reply(http.StatusOK, `{}`))
	gw := portkeytest.NewGateway(t)
	unknown := corpusRequest{path: "/v1/chat/completions", header: config(`{"provider":"nope","api_key":"k"}`), body: hi}
	body, _ := unknown.send(t, real.Scheme+"://"+real.Host).Body.(map[string]any)
	_, list, ok := strings.Cut(fmt.Sprint(body["errors"]), "Must be one of: ")
	providers := strings.Split(strings.TrimRight(list, "]"), ", ")
	if !ok || len(providers) < 50 {
		t.Fatalf("got %v from the gateway, want a list of the providers", body)
	}

	var requests []corpusRequest
	for _, p := range providers {
		for _, endpoint := range []string{
			"chat/completions", "completions", "embeddings", "messages", "messages/count_tokens", "responses",
			"images/generations", "audio/speech", "batches", "fine_tuning/jobs", "rerank",
		} {
			requests = append(requests, corpusRequest{name: p + " " + endpoint, path: "/v1/" + endpoint,
				header: on("provider", p, "Authorization", "Bearer k"), body: `{"model":"m1","input":"x","prompt":"x","max_tokens":5,
				"messages":[{"role":"user","content":"hi"}],"input_file_id":"f","training_file":"f"}`})
		}
	}
	// What a provider needs beyond its name is no verdict.
	verdict := func(a answer) string {
		body, _ := a.Body.(map[string]any)
		message, _ := body["message"].(string)
		if a.Status == http.StatusInternalServerError && a.Header["X-Portkey-Gateway-Exception"] == "true" &&
			(strings.Contains(message, " is not supported by ") || strings.HasSuffix(message, " not found")) {
			return message
		}
		return ""
	}
	inParallel(len(requests), func(i int) {
		r := requests[i]
		got := verdict(r.send(t, strings.TrimSuffix(gw.URL(), "/v1")))
		want := verdict(r.send(t, real.Scheme+"://"+real.Host, http.Header{"X-Portkey-Custom-Host": {u.URL}}))
		check(t, r.name, got, want)
	})
	t.Logf("%d providers, %d requests", len(providers), len(requests))
}

func TestPortkeytestTakesTheHostsThatTheGatewayTakes(t *testing.T) {
	t.Parallel()
	real, err := url.Parse(gatewayURL(t))
	if err != nil {
		t.Fatal(err)
	}
	gw := portkeytest.NewGateway(t)
	hosts := []string{
		"https://llm.example.com/v1", "HTTPS://LLM.Example.com", "http://8.8.8.8:8000/v1", "http://127.0.0.1:1/v1", "http://localhost:1", "http://a.localhost:1",
		"http://host.docker.internal:1", "http://172.15.0.1", "http://172.32.0.1", "http://11.0.0.1", "http://100.63.0.1", "http://223.0.0.1", "http://a.b.c.d.e.f.g.h.i.example",
		"http://127.0.0.2", "http://0.0.0.0", "http://10.1.2.3", "http://172.16.0.1", "http://172.31.255.255", "http://192.168.1.1", "http://100.64.0.1",
		"http://169.254.169.254", "http://224.0.0.1", "http://255.255.255.255", "http://[::1]:1", "http://[2001:db8::1]", "http://metadata", "http://metadata.google.internal",
		"http://metadata.azure.com", "http://instance-data", "http://llm.local", "http://llm.localdomain", "http://llm.intranet", "http://llm.lan", "http://llm.home", "http://llm.corp",
		"http://llm.test", "http://llm.invalid", "http://llm.onion", "http://llm_1.example.com", "http://llm.example.com.", "http://a.b.c.d.e.f.g.h.i.j.example.com",
		"http://llm.example.com:0", "http://llm.example.com:65535", "http://llm.example.com:65536", "http://api.portkey.ai/v1", "https://API.portkey.example.com",
		"http://user@llm.example.com", "http://llm.example.com/@me", "ftp://llm.example.com", "file:///etc/passwd", "llm.example.com", "llm.example.com:443", "//llm.example.com", "http://", "x",
	}
	refused := 0
	for _, host := range hosts {
		r := corpusRequest{name: host, method: "GET", path: "/v1/models", header: on("provider", "openai", "custom-host", host)}
		got := r.send(t, strings.TrimSuffix(gw.URL(), "/v1")).Status == http.StatusBadRequest
		want := r.send(t, real.Scheme+"://"+real.Host).Status == http.StatusBadRequest
		check(t, host+": refused", got, want)
		if want {
			refused++
		}
	}
	t.Logf("%d hosts, %d refused", len(hosts), refused)
}
