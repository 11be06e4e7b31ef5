package interop

import (
	"bytes"
	"context"
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

	"github.com/portkey-go/portkey/interop/internal/realgateway"
	"github.com/portkey-go/portkey/portkeytest"
)

// A corpusRequest is sent to portkeytest and to the real gateway, and both have to
// answer alike.
type corpusRequest struct {
	name   string
	method string      // POST unless it says another
	path   string      // /v1/chat/completions unless it says another
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
	"models of the catalog":   {"body, status", hostedOnly},
	"saved model":             {"body, headers, status", hostedOnly},
	"feedback":                {"body, status", hostedOnly},
	"config with a slug":      {"body, headers, status", hostedOnly},
	"config of a virtual key": {"body, headers, status", hostedOnly},
	"virtual key alone":       {"body, headers, status", hostedOnly},
	"provider at Portkey":     {"body, headers, status", hostedOnly},
	"prompt at Portkey":       {"body, headers, status", hostedOnly},
	"saved model in a config": {"body, headers, status", hostedOnly},
	"default and drop params": {"body", hostedOnly},

	"output guardrail of a stream that fails": {"body, status", hostedOnly},

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
	"broken JSON, proxied":              {"body", "the words are those of JavaScript's parser"},
	"trace in UTF-8":                    {"headers", "Node.js encodes it again, but only where it writes the body along with the headers"},
}

const (
	hostedOnly = "hosted gateway only"
	translated = "portkeytest's answers are OpenAI's own; the gateway adds and leaves out fields, differently for each of these providers"
	worded     = "the faults are worded as Validate words them"
)

const (
	chatBody       = `{"model":"m1","max_tokens":16,"messages":[{"role":"user","content":"hi there"}]}`
	chatStreamBody = `{"model":"m1","max_tokens":16,"stream":true,"messages":[{"role":"user","content":"hi there"}]}`
	formBody       = "--boundary-of-the-corpus\r\nContent-Disposition: form-data; name=\"purpose\"\r\n\r\nbatch\r\n" +
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

// twoTargets are part of a config.
const twoTargets = `"targets":[{"name":"a","provider":"openai","api_key":"k1"},{"name":"b","provider":"groq","api_key":"k2"}]`

var (
	onOpenAI    = on("provider", "openai", "Authorization", "Bearer sk-1")
	onAzure     = on("provider", "azure-openai", "azure-resource-name", "r1", "azure-deployment-id", "d1", "azure-api-version", "2024-06-01")
	onAnthropic = on("provider", "anthropic", "X-Api-Key", "sk-1")
	hangs       = func(w http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	hangsUp     = func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
)

func withConfig(text string, more ...string) http.Header {
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

func failsWith(status int) http.HandlerFunc {
	return saying(status, "application/json", fmt.Sprintf(`{"error":{"message":"says %d","type":"t","param":null,"code":"c"}}`, status),
		"Retry-After", "7", "X-Request-Id", "req-1")
}

// newCorpus returns the requests. Some of their answers count the calls.
func newCorpus() []corpusRequest {
	return []corpusRequest{
		// What is answered.
		{name: "chat", header: onOpenAI, body: chatBody},
		{name: "chat streamed", header: onOpenAI, body: chatStreamBody},
		{name: "chat streamed with usage", header: onOpenAI,
			body: `{"model":"m1","stream":true,"stream_options":{"include_usage":true},"messages":[{"role":"user","content":"hi"}]}`},
		{name: "chat of parts", header: onOpenAI,
			body: `{"model":"m1","messages":[{"role":"user","content":[{"type":"text","text":"hi"}]}]}`},
		{name: "chat without content type", header: on("provider", "openai", "Content-Type", ""), body: chatBody,
			answer: func(w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				saying(400, "application/json", fmt.Sprintf(`{"error":{"message":"body of %d bytes","type":"t","param":null,"code":null}}`, len(body)))(w, r)
			}},
		{name: "chat by groq", header: on("provider", "groq"), body: chatBody},
		{name: "chat by azure-openai", header: onAzure, body: chatBody},
		{name: "chat by mistral-ai", header: on("provider", "mistral-ai"), body: chatBody},
		{name: "chat by deepseek", header: on("provider", "deepseek"), body: chatBody},
		{name: "chat by openrouter", header: on("provider", "openrouter"), body: chatBody},
		{name: "chat by together-ai", header: on("provider", "together-ai"), body: chatBody},
		{name: "chat by fireworks-ai", header: on("provider", "fireworks-ai"), body: chatBody},
		{name: "chat by x-ai", header: on("provider", "x-ai"), body: chatBody},
		{name: "chat by anthropic", header: onAnthropic, body: chatBody},
		{name: "chat by azure-openai streamed", header: onAzure, body: chatStreamBody},
		{name: "chat by groq streamed", header: on("provider", "groq"), body: chatStreamBody},
		{name: "chat by mistral-ai streamed", header: on("provider", "mistral-ai"), body: chatStreamBody},
		{name: "chat by anthropic streamed", header: onAnthropic, body: chatStreamBody},
		{name: "completion", path: "/v1/completions", header: onOpenAI, body: `{"model":"m1","prompt":"hi there"}`},
		{name: "completion streamed", path: "/v1/completions", header: onOpenAI, body: `{"model":"m1","prompt":"hi there","stream":true}`},
		{name: "completion by groq", path: "/v1/completions", header: on("provider", "groq"), body: `{"model":"m1","prompt":"hi"}`},
		{name: "responses", path: "/v1/responses", header: onOpenAI, body: `{"model":"m1","input":"hi there"}`},
		{name: "responses streamed", path: "/v1/responses", header: onOpenAI, body: `{"model":"m1","input":"hi there","stream":true}`},
		{name: "responses by groq", path: "/v1/responses", header: on("provider", "groq"), body: `{"model":"m1","input":"hi"}`},
		{name: "messages", path: "/v1/messages", header: onAnthropic, body: chatBody},
		{name: "messages streamed", path: "/v1/messages", header: onAnthropic, body: chatStreamBody},
		{name: "messages by openai", path: "/v1/messages", header: onOpenAI, body: chatBody},
		{name: "count tokens", path: "/v1/messages/count_tokens", header: onAnthropic, body: chatBody},
		{name: "embeddings", path: "/v1/embeddings", header: onOpenAI, body: `{"model":"m1","input":["one","two"]}`},
		{name: "embeddings in base64", path: "/v1/embeddings", header: onOpenAI, body: `{"model":"m1","input":"one","encoding_format":"base64"}`},
		{name: "embeddings by mistral-ai", path: "/v1/embeddings", header: on("provider", "mistral-ai"), body: `{"model":"m1","input":["one"]}`},
		{name: "embeddings by groq", path: "/v1/embeddings", header: on("provider", "groq"), body: `{"model":"m1","input":["one"]}`},
		{name: "images", path: "/v1/images/generations", header: onOpenAI, body: `{"model":"m1","prompt":"a cat"}`},
		{name: "images in base64", path: "/v1/images/generations", header: onOpenAI, body: `{"model":"m1","prompt":"a cat","response_format":"b64_json"}`},
		{name: "models", method: "GET", path: "/v1/models", header: onOpenAI},
		{name: "models with a query", method: "GET", path: "/v1/models?limit=3&after=a%2Fb", header: onOpenAI},
		{name: "models by groq", method: "GET", path: "/v1/models", header: on("provider", "groq")},
		{name: "models, head only", method: "HEAD", path: "/v1/models", header: onOpenAI},
		{name: "model", method: "GET", path: "/v1/models/org/m1", header: onOpenAI},
		{name: "file upload", path: "/v1/files", header: on("provider", "openai", "Content-Type", formType), body: formBody},
		{name: "file upload without file", path: "/v1/files", header: on("provider", "openai", "Content-Type", formType), body: "--boundary-of-the-corpus--\r\n"},
		{name: "files", method: "GET", path: "/v1/files?purpose=batch", header: onOpenAI},
		{name: "file", method: "GET", path: "/v1/files/file-1", header: onOpenAI},
		{name: "file content", method: "GET", path: "/v1/files/file-1/content", header: onOpenAI},
		{name: "file deletion", method: "DELETE", path: "/v1/files/file-1", header: onOpenAI},
		{name: "files by groq", method: "GET", path: "/v1/files", header: on("provider", "groq")},

		// What no provider answers, which is the provider's to say.
		{name: "rerank", path: "/v1/rerank", header: onOpenAI, body: `{"query":"q"}`},
		{name: "rerank of a form", path: "/v1/rerank", header: on("provider", "openai", "Content-Type", formType), body: formBody},
		{name: "rerank of audio", path: "/v1/rerank", header: on("provider", "openai", "Content-Type", "audio/mpeg"), body: "x"},
		{name: "speech", path: "/v1/audio/speech", header: onOpenAI, body: `{"model":"m1","input":"hi","voice":"alloy"}`},
		{name: "transcription", path: "/v1/audio/transcriptions", header: on("provider", "openai", "Content-Type", formType), body: formBody},
		{name: "transcription by groq", path: "/v1/audio/transcriptions", header: on("provider", "groq", "Content-Type", formType), body: formBody},
		{name: "batches", method: "GET", path: "/v1/batches", header: onOpenAI},
		{name: "batch", path: "/v1/batches", header: onOpenAI, body: `{"input_file_id":"f","endpoint":"/v1/chat/completions","completion_window":"24h"}`},
		{name: "response", method: "GET", path: "/v1/responses/resp_1", header: onOpenAI},
		{name: "fine-tuning job put", method: "PUT", path: "/v1/fine_tuning/jobs", header: onOpenAI, body: "{}", answer: failsWith(404)},
		{name: "chat got", method: "GET", path: "/v1/chat/completions/c1", header: onOpenAI},
		{name: "chat deleted", method: "DELETE", path: "/v1/chat/completions/c1", header: onOpenAI},
		{name: "chat with a slash at the end", path: "/v1/chat/completions/", header: onOpenAI, body: chatBody},
		{name: "proxied chat", path: "/v1/proxy/chat/completions", header: onOpenAI, body: chatBody},
		{name: "proxied models", method: "GET", path: "/v1/proxy/models", header: onOpenAI},

		// What the gateway refuses.
		{name: "neither provider nor config", body: chatBody},
		{name: "neither provider nor config, got", method: "GET", path: "/v1/files", header: on("api-key", "pk")},
		{name: "unknown provider", header: on("provider", "nope"), body: chatBody},
		{name: "provider in capitals", header: on("provider", "OpenAI"), body: chatBody},
		{name: "provider twice", header: on("provider", "openai", "provider", "openai"), body: chatBody},
		{name: "provider that is not there", header: on("provider", "cortex"), body: chatBody},
		{name: "provider without chat", header: on("provider", "jina"), body: chatBody},
		{name: "private host", header: on("provider", "openai", "custom-host", "http://10.0.0.1/v1"), body: chatBody},
		{name: "host of Portkey", header: on("provider", "openai", "custom-host", "https://api.portkey.ai/v1"), body: chatBody},
		{name: "host without scheme", header: on("provider", "openai", "custom-host", "llm.example.com"), body: chatBody},
		{name: "host with credentials", header: on("provider", "openai", "custom-host", "http://u:p@127.0.0.1/v1"), body: chatBody},
		{name: "host by IPv6", header: on("provider", "openai", "custom-host", "http://[::1]/v1"), body: chatBody},
		{name: "host in the office", header: on("provider", "openai", "custom-host", "http://llm.internal/v1"), body: chatBody},
		{name: "host with an invalid port", header: on("provider", "openai", "custom-host", "http://127.0.0.1:0/v1"), body: chatBody},
		{name: "content type text", header: on("provider", "openai", "Content-Type", "text/plain"), body: chatBody},
		{name: "content type octets, proxied", path: "/v1/rerank", header: on("provider", "openai", "Content-Type", "application/octet-stream"), body: chatBody},
		{name: "content type in capitals", header: on("provider", "openai", "Content-Type", "Application/JSON"), body: chatBody},
		{name: "content type with charset", header: on("provider", "openai", "Content-Type", "application/json; charset=utf-8"), body: chatBody},
		{name: "broken JSON", header: onOpenAI, body: `{`},
		{name: "no JSON at all", path: "/v1/embeddings", header: onOpenAI, body: ``},
		{name: "JSON that is no object", header: onOpenAI, body: `[]`},
		{name: "broken JSON, proxied", path: "/v1/rerank", header: onOpenAI, body: `{`},
		{name: "chat as a form", header: on("provider", "openai", "Content-Type", formType), body: formBody},
		{name: "invalid form", path: "/v1/audio/transcriptions", header: on("provider", "openai", "Content-Type", formType), body: "x"},
		{name: "invalid form, proxied", path: "/v1/rerank", header: on("provider", "openai", "Content-Type", formType), body: "x"},
		{name: "headers of 16 KB", method: "GET", path: "/v1/models", header: on("provider", "openai", "metadata", strings.Repeat("a", 17<<10))},
		{name: "headers of 15 KB", method: "GET", path: "/v1/models", header: on("provider", "openai", "metadata", strings.Repeat("a", 15<<10))},
		{name: "put", method: "PUT", path: "/v1/models", header: onOpenAI, body: "{}"},
		{name: "patch", method: "PATCH", header: onOpenAI, body: "{}"},
		{name: "options", method: "OPTIONS", header: onOpenAI},
		{name: "outside of /v1", path: "/chat/completions", header: onOpenAI, body: chatBody},
		{name: "the root", method: "GET", path: "/"},
		{name: "the base URL", method: "GET", path: "/v1", header: onOpenAI},
		{name: "the base URL, posted to", path: "/v1", header: onOpenAI, body: "{}"},

		// Configs.
		{name: "config with a slug", header: withConfig("pc-1"), body: chatBody},
		{name: "config that is text", header: withConfig("fallback"), body: chatBody},
		{name: "config that is broken", header: withConfig(`{"provider":"openai"`), body: chatBody},
		{name: "config null", header: withConfig(`null`), body: chatBody},
		{name: "config null with a provider", header: withConfig(`null`, "provider", "openai"), body: chatBody},
		{name: "config that is a list", header: withConfig(`[]`, "provider", "openai"), body: chatBody},
		{name: "config of nothing", header: withConfig(`{}`), body: chatBody},
		{name: "config of nothing with a provider", header: withConfig(`{}`, "provider", "openai"), body: chatBody},
		{name: "config of no key", header: withConfig(`{"provider":"openai"}`), body: chatBody},
		{name: "config of an unknown provider", header: withConfig(`{"provider":"nope","api_key":"k"}`), body: chatBody},
		{name: "config of a wrong type", header: withConfig(`{"provider":"openai","api_key":1}`), body: chatBody},
		{name: "config of an unknown mode", header: withConfig(`{"strategy":{"mode":"best"},` + twoTargets + `}`), body: chatBody},
		{name: "config of a target without key",
			header: withConfig(`{"strategy":{"mode":"fallback"},"targets":[{"provider":"openai","api_key":"k"},{"provider":"groq"}]}`), body: chatBody},
		{name: "config of a private host", header: withConfig(`{"provider":"openai","api_key":"k","custom_host":"http://10.0.0.1"}`), body: chatBody},
		{name: "config that is old", header: withConfig(`{"provider":"openai","api_key":"k","options":[{}]}`), body: chatBody},
		{name: "config of a virtual key", header: withConfig(`{"virtual_key":"vk"}`), body: chatBody},
		{name: "virtual key alone", header: on("virtual-key", "vk"), body: chatBody},
		{name: "models of the catalog", method: "GET", path: "/v1/models", header: on("api-key", "pk")},
		{name: "saved model", header: on("api-key", "pk"), body: `{"model":"@openai-prod/m1","messages":[{"role":"user","content":"hi"}]}`},
		{name: "saved model in a config", body: chatBody,
			header: withConfig(`{"strategy":{"mode":"fallback"},"targets":[{"override_params":{"model":"@openai-prod/m1"}},{"provider":"openai","api_key":"k"}]}`)},
		{name: "feedback", path: "/v1/feedback", header: on("api-key", "pk"), body: `{"trace_id":"t","value":1}`},
		{name: "provider at Portkey", header: on("provider", "@openai-prod"), body: chatBody},
		{name: "prompt at Portkey", path: "/v1/prompts/p1/completions", header: onOpenAI, body: `{"variables":{}}`},
		{name: "config of one provider", header: withConfig(`{"provider":"groq","api_key":"k2"}`), body: chatBody},
		{name: "config overrides the provider", header: withConfig(`{"provider":"groq","api_key":"k2"}`, "provider", "openai"), body: chatBody},
		{name: "config of a cache", header: withConfig(`{"cache":{"mode":"simple"}}`, "provider", "openai"), body: chatBody},
		{name: "fallback, not needed", header: withConfig(`{"strategy":{"mode":"fallback"},` + twoTargets + `}`), body: chatBody},
		{name: "fallback", header: withConfig(`{"strategy":{"mode":"fallback"},` + twoTargets + `}`), body: chatBody,
			answer: failing("k1", 503)},
		{name: "fallback by a fault", header: withConfig(`{"strategy":{"mode":"fallback"},` + twoTargets + `}`), body: chatBody,
			answer: failing("k1", 503), faults: []portkeytest.Fault{{Status: 503}}},
		{name: "fallback streamed", header: withConfig(`{"strategy":{"mode":"fallback"},"targets":[{"provider":"openai","api_key":"k1"},{"provider":"openai","api_key":"k2"}]}`),
			body: chatStreamBody, answer: failing("k1", 503)},
		{name: "fallback when all fail", header: withConfig(`{"strategy":{"mode":"fallback"},` + twoTargets + `}`), body: chatBody,
			answer: failsWith(502)},
		{name: "fallback on other statuses", header: withConfig(`{"strategy":{"mode":"fallback","on_status_codes":[429]},` + twoTargets + `}`),
			body: chatBody, answer: failing("k1", 503)},
		{name: "fallback from a provider that hangs up", header: withConfig(`{"strategy":{"mode":"fallback"},` + twoTargets + `}`), body: chatBody,
			answer: func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "Bearer k1" {
					hangsUp(w, r)
				}
				answerOpenAI(w, r)
			}},
		{name: "fallback ends at an exception", path: "/v1/embeddings", header: withConfig(`{"strategy":{"mode":"fallback"},"targets":[` +
			`{"provider":"groq","api_key":"k1"},{"provider":"openai","api_key":"k2"}]}`), body: `{"model":"m1","input":"hi"}`},
		{name: "loadbalance", header: withConfig(`{"strategy":{"mode":"loadbalance"},"targets":[` +
			`{"provider":"openai","api_key":"k1","weight":0},{"provider":"groq","api_key":"k2","weight":0.5}]}`), body: chatBody},
		{name: "loadbalance of models", method: "GET", path: "/v1/models", header: withConfig(`{"strategy":{"mode":"loadbalance"},"targets":[` +
			`{"provider":"openai","api_key":"k1","weight":0},{"provider":"groq","api_key":"k2","weight":1}]}`)},
		{name: "single", header: withConfig(`{"strategy":{"mode":"single"},` + twoTargets + `}`), body: chatBody},
		{name: "conditional by metadata", body: chatBody,
			header: withConfig(conditionalOn(`{"metadata.plan":{"$eq":"paid"}}`), "metadata", `{"plan":"paid"}`)},
		{name: "conditional by metadata of others", body: chatBody,
			header: withConfig(conditionalOn(`{"metadata.plan":{"$eq":"paid"}}`), "metadata", `{"plan":"free"}`)},
		{name: "conditional by invalid metadata", body: chatBody,
			header: withConfig(conditionalOn(`{"metadata.plan":{"$eq":"paid"}}`), "metadata", `plan=paid`)},
		{name: "conditional by metadata in UTF-8", body: chatBody,
			header: withConfig(conditionalOn(`{"metadata.plan":{"$eq":"g\u00f4ld"}}`), "metadata", `{"plan":"gôld"}`)},
		{name: "conditional by metadata in ASCII", body: chatBody,
			header: withConfig(conditionalOn(`{"metadata.plan":{"$eq":"g\u00f4ld"}}`), "metadata", `{"plan":"g\u00f4ld"}`)},
		{name: "conditional by parameters", body: chatBody,
			header: withConfig(conditionalOn(`{"$and":[{"params.model":{"$in":["m1","m2"]}},{"params.max_tokens":{"$gte":16}},{"params.max_tokens":{"$lt":"17"}}]}`))},
		{name: "conditional by text that is no number", body: chatBody,
			header: withConfig(conditionalOn(`{"params.max_tokens":"16"}`))},
		{name: "conditional by either", body: chatBody,
			header: withConfig(conditionalOn(`{"$or":[{"params.model":"m2"},{"params.model":{"$regex":"^m\\d$"}}]}`))},
		{name: "conditional by the path", body: chatBody,
			header: withConfig(conditionalOn(`{"url.pathname":{"$ne":"/v1/chat/completions"}}`))},
		{name: "conditional of no target", body: chatBody,
			header: withConfig(`{"strategy":{"mode":"conditional","default":"a","conditions":[{"query":{"params.model":"m1"},"then":"zz"}]},` + twoTargets + `}`)},
		{name: "targets of targets", body: chatBody, answer: failing("k1", 500),
			header: withConfig(`{"strategy":{"mode":"fallback"},"targets":[{"provider":"openai","api_key":"k1"},{"strategy":{"mode":"single"},` + strings.Replace(twoTargets, "k1", "k3", 1) + `}]}`)},
		{name: "retry and timeout of all targets", body: chatBody,
			header: withConfig(`{"retry":{"attempts":1,"on_status_codes":[408]},"request_timeout":500,"strategy":{"mode":"fallback"},` + twoTargets + `}`),
			answer: func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "Bearer k1" {
					hangs(w, r)
				}
				answerOpenAI(w, r)
			}},
		{name: "retry of the last of all targets", body: chatBody, answer: failsWith(503),
			header: withConfig(`{"retry":{"attempts":1},"strategy":{"mode":"single"},` + twoTargets + `}`)},
		{name: "retry, not needed", header: withConfig(`{"retry":{"attempts":2}}`, "provider", "openai"), body: chatBody},
		{name: "retry used up", header: withConfig(`{"retry":{"attempts":1}}`, "provider", "openai"), body: chatBody, answer: failsWith(503)},
		{name: "retry", header: withConfig(`{"retry":{"attempts":2}}`, "provider", "openai"), body: chatBody,
			answer: limitedOnce(), faults: []portkeytest.Fault{{Status: 429}}},
		{name: "retry of models", method: "GET", path: "/v1/models", header: withConfig(`{"retry":{"attempts":1}}`, "provider", "openai"), answer: failsWith(500)},
		{name: "retry not of 400", header: withConfig(`{"retry":{"attempts":1}}`, "provider", "openai"), body: chatBody, answer: failsWith(400)},
		{name: "retry on other statuses", header: withConfig(`{"retry":{"attempts":1,"on_status_codes":[418]}}`, "provider", "openai"), body: chatBody, answer: failsWith(500)},
		{name: "retry of a provider that hangs up", header: withConfig(`{"retry":{"attempts":1}}`, "provider", "openai"), body: chatBody, answer: hangsUp},

		// Parameters that a config changes.
		{name: "override params", header: withConfig(`{"retry":{"attempts":1},"override_params":`+overrides+`}`, "provider", "openai"),
			body: paramsBody, answer: echoParams},
		{name: "override params of a config with a provider", header: withConfig(`{"provider":"groq","api_key":"k","override_params":` + overrides + `}`),
			body: paramsBody, answer: echoParams},
		{name: "override params of a target", body: paramsBody, answer: echoParams,
			header: withConfig(`{"strategy":{"mode":"single"},"targets":[{"provider":"openai","api_key":"k1","override_params":` + overrides + `}]}`)},
		{name: "override params that a target inherits", body: paramsBody, answer: echoParams,
			header: withConfig(`{"override_params":{"model":"m3","user":"u3"},"strategy":{"mode":"single"},"targets":[{"provider":"openai","api_key":"k1","override_params":` + overrides + `}]}`)},
		{name: "override params that a target's target inherits", body: paramsBody, answer: echoParams,
			header: withConfig(`{"override_params":{"model":"m3","user":"u3"},"strategy":{"mode":"single"},"targets":[{"strategy":{"mode":"single"},` +
				`"override_params":{"model":"m4"},"targets":[{"provider":"openai","api_key":"k1"}]}]}`)},
		{name: "override params of the target that is called", body: paramsBody, answer: func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") == "Bearer k1" {
				failsWith(503)(w, r)
				return
			}
			echoParams(w, r)
		}, header: withConfig(`{"strategy":{"mode":"fallback"},"targets":[{"provider":"openai","api_key":"k1","override_params":{"model":"m3"}},` +
			`{"provider":"openai","api_key":"k2","override_params":{"user":"u4"}}]}`)},
		{name: "override params of a proxied request", path: "/v1/rerank", body: paramsBody, answer: echoParams,
			header: withConfig(`{"retry":{"attempts":1},"override_params":`+overrides+`}`, "provider", "openai")},
		{name: "override params of embeddings", path: "/v1/embeddings", body: `{"model":"m1","input":"hi"}`, answer: echoParams,
			header: withConfig(`{"retry":{"attempts":1},"override_params":{"model":"m2","input":["a"]}}`, "provider", "openai")},
		{name: "override params of a request without body", method: "GET", path: "/v1/models",
			header: withConfig(`{"retry":{"attempts":1},"override_params":{"model":"m2"}}`, "provider", "openai")},
		{name: "override params of a form", path: "/v1/rerank", body: formBody, answer: echoForm,
			header: withConfig(`{"retry":{"attempts":1},"override_params":{"purpose":"other"}}`, "provider", "openai", "Content-Type", formType)},
		{name: "override params that are text", header: withConfig(`{"retry":{"attempts":1},"override_params":""}`, "provider", "openai"),
			body: paramsBody, answer: echoParams},
		{name: "override params that are empty", header: withConfig(`{"retry":{"attempts":1},"override_params":{}}`, "provider", "openai"),
			body: paramsBody, answer: echoParams},
		{name: "override params that make a stream", header: withConfig(`{"retry":{"attempts":1},"override_params":{"stream":true}}`, "provider", "openai"),
			body: chatBody},
		{name: "override params that make no stream", header: withConfig(`{"retry":{"attempts":1},"override_params":{"stream":false}}`, "provider", "openai"),
			body: chatStreamBody},
		{name: "override params and conditions", body: paramsBody,
			header: withConfig(strings.Replace(conditionalOn(`{"params.model":"m1"}`), "{", `{"override_params":{"model":"m2"},`, 1))},
		{name: "default and drop params", body: paramsBody, answer: echoParams,
			header: withConfig(`{"retry":{"attempts":1},"default_params":{"user":"u3","temperature":1},"drop_params":["stop"]}`, "provider", "openai")},

		// Traces and metadata.
		{name: "trace", header: on("provider", "openai", "trace-id", "t-1", "metadata", `{"_user":"u1"}`), body: chatBody},
		{name: "trace with spaces and quotes", header: on("provider", "openai", "trace-id", `a "b" c`), body: chatBody},
		{name: "trace in UTF-8", header: on("provider", "openai", "trace-id", "gôld 金"), body: chatBody},
		{name: "trace of 4000 characters", header: on("provider", "openai", "trace-id", strings.Repeat("t", 4000)), body: chatBody},
		{name: "trace twice", header: on("provider", "openai", "trace-id", "t-1", "trace-id", "t-2"), body: chatBody},
		{name: "trace of a proxied request", method: "GET", path: "/v1/models", header: on("provider", "openai", "trace-id", "t-1")},
		{name: "trace of a refused request", header: on("provider", "nope", "trace-id", "t-1"), body: chatBody},
		{name: "trace of an exception", path: "/v1/embeddings", header: on("provider", "groq", "trace-id", "t-1"), body: `{"model":"m1","input":"hi"}`},
		{name: "metadata of numbers", header: on("provider", "openai", "metadata", `{"n":1}`), body: chatBody},
		{name: "invalid metadata", header: on("provider", "openai", "metadata", `_user=u1`), body: chatBody},

		// Providers that fail.
		{name: "400", header: onOpenAI, body: chatBody, answer: failsWith(400)},
		{name: "401", header: onOpenAI, body: chatBody, answer: failsWith(401)},
		{name: "429", header: onOpenAI, body: chatBody, answer: failsWith(429)},
		{name: "500", header: onOpenAI, body: chatBody, answer: failsWith(500)},
		{name: "503", header: onOpenAI, body: chatBody, answer: failsWith(503)},
		{name: "412", header: onOpenAI, body: chatBody, answer: failsWith(412)},
		{name: "429 streamed", header: onOpenAI, body: chatStreamBody, answer: failsWith(429)},
		{name: "429 by groq", header: on("provider", "groq"), body: chatBody, answer: failsWith(429)},
		{name: "429 of messages", path: "/v1/messages", header: onAnthropic, body: chatBody,
			answer: saying(429, "application/json", `{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}`)},
		{name: "429 of embeddings", path: "/v1/embeddings", header: onOpenAI, body: `{"model":"m1","input":"hi"}`, answer: failsWith(429)},
		{name: "429 of embeddings by azure-openai", path: "/v1/embeddings", header: onAzure, body: `{"model":"m1","input":"hi"}`, answer: failsWith(429)},
		{name: "429 of responses", path: "/v1/responses", header: onOpenAI, body: `{"model":"m1","input":"hi"}`, answer: failsWith(429)},
		{name: "429 of models", method: "GET", path: "/v1/models", header: onOpenAI, answer: failsWith(429)},
		{name: "429 of files", method: "GET", path: "/v1/files", header: onOpenAI, answer: failsWith(429)},
		{name: "429 by a fault", header: onOpenAI, body: chatBody, faults: []portkeytest.Fault{{Status: 429, RetryAfter: 7 * time.Second}},
			answer: saying(429, "application/json", `{"error":{"message":"429 Too Many Requests","type":"requests","param":null,"code":"rate_limit_exceeded"}}`, "Retry-After", "7")},
		{name: "503 by a fault", method: "GET", path: "/v1/models", header: onOpenAI, faults: []portkeytest.Fault{{Status: 503}},
			answer: saying(503, "application/json", `{"error":{"message":"503 Service Unavailable","type":"server_error","param":null,"code":null}}`)},
		{name: "other errors", header: onOpenAI, body: chatBody, answer: saying(422, "application/json", `{"detail":"no"}`)},
		{name: "HTML", header: onOpenAI, body: chatBody, answer: saying(502, "text/html", "<h1>bad</h1>")},
		{name: "HTML of responses", path: "/v1/responses", header: onOpenAI, body: chatBody, answer: saying(502, "text/html", "<h1>bad</h1>")},
		{name: "HTML of models", method: "GET", path: "/v1/models", header: onOpenAI, answer: saying(502, "text/html", "<h1>bad</h1>")},
		{name: "HTML by groq", header: on("provider", "groq"), body: chatBody, answer: saying(502, "text/html", "<h1>bad</h1>")},
		{name: "HTML by anthropic", path: "/v1/messages", header: onAnthropic, body: chatBody, answer: saying(502, "text/html", "<h1>bad</h1>")},
		{name: "text", header: onOpenAI, body: chatBody, answer: saying(200, "text/plain; charset=utf-8", "hello")},
		{name: "answer that is broken JSON", header: onOpenAI, body: chatBody, answer: saying(200, "application/json", `{"a":`)},
		{name: "answer that is broken JSON, by a fault", header: onOpenAI, body: chatBody,
			faults: []portkeytest.Fault{{Malformed: true}}, answer: saying(200, "application/json", `{"a":`)},
		{name: "answer that is broken JSON of models", method: "GET", path: "/v1/models", header: onOpenAI, answer: saying(200, "application/json", `{"a":`)},
		{name: "error that is broken JSON", header: onOpenAI, body: chatBody, answer: saying(500, "application/json", `{"a":`)},
		{name: "answer that is empty", header: onOpenAI, body: chatBody, answer: saying(200, "application/json", "")},
		{name: "stream with broken JSON", header: onOpenAI, body: chatStreamBody,
			answer: saying(200, "text/event-stream", "data: {\"id\":\"c\"}\n\ndata: {\"id\":\n\ndata: [DONE]\n\n")},
		{name: "stream that breaks off", header: onOpenAI, body: chatStreamBody, answer: func(w http.ResponseWriter, r *http.Request) {
			saying(200, "text/event-stream", "data: {\"id\":\"c\"}\n\n")(w, r)
			w.(http.Flusher).Flush()
			panic(http.ErrAbortHandler)
		}},
		{name: "stream that ends early, by a fault", header: onOpenAI, body: chatStreamBody,
			faults: []portkeytest.Fault{{EndEarly: true}}, answer: func(w http.ResponseWriter, r *http.Request) {
				ctx, cancel := context.WithTimeout(r.Context(), 100*time.Millisecond)
				defer cancel()
				next := make(chan struct{}, 1)
				next <- struct{}{}
				streamChat(next)(w, r.WithContext(ctx)) // two of four events
				panic(http.ErrAbortHandler)
			}},
		{name: "provider that hangs up", header: onOpenAI, body: chatBody, answer: hangsUp},
		{name: "provider that hangs up on models", method: "GET", path: "/v1/models", header: onOpenAI, answer: hangsUp},
		{name: "timeout", header: on("provider", "openai", "request-timeout", "50"), body: chatBody, answer: hangs},
		{name: "timeout by a fault", header: on("provider", "openai", "request-timeout", "50.5"), body: chatBody, answer: hangs,
			faults: []portkeytest.Fault{{Delay: time.Hour}}},
		{name: "timeout of models", method: "GET", path: "/v1/models", header: on("provider", "groq", "request-timeout", "50"), answer: hangs},
		{name: "timeout of a config", header: withConfig(`{"request_timeout":50}`, "provider", "openai"), body: chatBody, answer: hangs},
		{name: "timeout, then fallback", body: chatBody,
			header: withConfig(`{"strategy":{"mode":"fallback"},"targets":[{"provider":"openai","api_key":"k1","request_timeout":50},{"provider":"groq","api_key":"k2"}]}`),
			answer: func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") == "Bearer k1" {
					hangs(w, r)
				}
				answerOpenAI(w, r)
			}},
		{name: "invalid timeout", header: on("provider", "openai", "request-timeout", "50ms"), body: chatBody},
		{name: "headers of the provider", header: onOpenAI, body: chatBody,
			answer: saying(200, "application/json", `{"id":"c","choices":[]}`, "X-Ratelimit-Remaining", "5", "X-Portkey-Foo", "bar", "X-Request-Id", "req-1")},
		{name: "exception by a fault", path: "/v1/embeddings", header: onOpenAI, body: `{"model":"m1","input":"hi"}`, real: on("provider", "groq"),
			faults: []portkeytest.Fault{{Exception: "embed is not supported by groq"}}},
		{name: "guardrail that denies", header: onOpenAI, body: chatBody, real: withConfig(guardrail("true")),
			faults: []portkeytest.Fault{{Status: 446}}},
		{name: "guardrail that denies a stream", header: onOpenAI, body: chatStreamBody, real: withConfig(guardrail("true")),
			faults: []portkeytest.Fault{{Status: 446}}},
		{name: "guardrail that fails", header: onOpenAI, body: chatBody, real: withConfig(guardrail("false")),
			faults: []portkeytest.Fault{{Status: 246}}},
		{name: "guardrail that fails a stream", header: onOpenAI, body: chatStreamBody, real: withConfig(guardrail("false")),
			faults: []portkeytest.Fault{{Status: 246}}},
		{name: "guardrail that fails a stream with hook results", header: notStrict(onOpenAI), body: chatStreamBody,
			real: withConfig(guardrail("false")), faults: []portkeytest.Fault{{Status: 246}}},
		{name: "guardrail that fails a stream of messages", path: "/v1/messages", header: notStrict(onAnthropic), body: chatStreamBody,
			real: withConfig(strings.Replace(guardrail("false"), "openai", "anthropic", 1)), faults: []portkeytest.Fault{{Status: 246}}},
		{name: "guardrail that fails a stream of completions", path: "/v1/completions", header: notStrict(onOpenAI),
			body: `{"model":"m1","prompt":"hi there","stream":true}`, real: withConfig(guardrail("false")), faults: []portkeytest.Fault{{Status: 246}}},
		{name: "guardrail that passes", header: onOpenAI, body: chatBody, real: withConfig(passingGuardrail("input_guardrails")),
			faults: []portkeytest.Fault{{Guardrail: portkeytest.InputGuardrail}}},
		{name: "guardrail that passes embeddings", path: "/v1/embeddings", header: onOpenAI, body: `{"model":"m1","input":"hi"}`,
			real: withConfig(passingGuardrail("input_guardrails")), faults: []portkeytest.Fault{{Guardrail: portkeytest.InputGuardrail}}},
		{name: "guardrail that passes a stream", header: onOpenAI, body: chatStreamBody, real: withConfig(passingGuardrail("input_guardrails")),
			faults: []portkeytest.Fault{{Guardrail: portkeytest.InputGuardrail}}},
		{name: "guardrail that passes a stream with hook results", header: notStrict(onOpenAI), body: chatStreamBody,
			real: withConfig(passingGuardrail("input_guardrails")), faults: []portkeytest.Fault{{Guardrail: portkeytest.InputGuardrail}}},
		{name: "guardrail that passes a request that fails", header: onOpenAI, body: chatBody, real: withConfig(passingGuardrail("input_guardrails")),
			answer: saying(429, "application/json", `{"error":{"message":"429 Too Many Requests","type":"requests","param":null,"code":"rate_limit_exceeded"}}`),
			faults: []portkeytest.Fault{{Status: 429, Guardrail: portkeytest.InputGuardrail}}},
		{name: "output guardrail that denies", header: onOpenAI, body: chatBody, real: withConfig(outputGuardrail("true")),
			faults: []portkeytest.Fault{{Status: 446, Guardrail: portkeytest.OutputGuardrail}}},
		{name: "output guardrail that fails", header: onOpenAI, body: chatBody, real: withConfig(outputGuardrail("false")),
			faults: []portkeytest.Fault{{Status: 246, Guardrail: portkeytest.OutputGuardrail}}},
		{name: "output guardrail that passes", header: onOpenAI, body: chatBody, real: withConfig(passingGuardrail("output_guardrails")),
			faults: []portkeytest.Fault{{Guardrail: portkeytest.OutputGuardrail}}},
		{name: "output guardrail of a stream that fails", header: notStrict(onOpenAI), body: chatStreamBody, real: withConfig(
			`{"provider":"openai","api_key":"k","output_guardrails":[{"default.contains":{"words":["zzz"],"operator":"all"},"deny":false}]}`),
			faults: []portkeytest.Fault{{Status: 246, Guardrail: portkeytest.OutputGuardrail}}},
	}
}

const (
	paramsBody = `{"model":"m1","temperature":0.5,"user":"u1","stop":["a"],"messages":[{"role":"user","content":"hi there"}]}`
	overrides  = `{"model":"m2","temperature":0,"stop":null,"metadata":{"k":"v"},"seed":12345}`
)

// echoParams answers with the parameters that the provider received.
func echoParams(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	message, _ := json.Marshal(string(body))
	var params map[string]any
	if json.Unmarshal(body, &params) == nil {
		sorted, _ := json.Marshal(params)
		message, _ = json.Marshal(string(sorted))
	}
	saying(400, "application/json", `{"error":{"message":`+string(message)+`,"type":"t","param":null,"code":"c"}}`)(w, r)
}

// echoForm answers with the purpose in the form that the provider received.
func echoForm(w http.ResponseWriter, r *http.Request) {
	saying(400, "application/json", fmt.Sprintf(`{"error":{"message":%q,"type":"t","param":null,"code":"c"}}`, r.FormValue("purpose")))(w, r)
}

func guardrail(deny string) string {
	return `{"provider":"openai","api_key":"k","input_guardrails":[{"default.contains":{"words":["hi"],"operator":"none"},"deny":` + deny + `}]}`
}

// outputGuardrail finds a word that the model's answer repeats.
func outputGuardrail(deny string) string {
	return `{"provider":"openai","api_key":"k","output_guardrails":[{"default.contains":{"words":["hi"],"operator":"none"},"deny":` + deny + `}]}`
}

func passingGuardrail(kind string) string {
	return `{"provider":"openai","api_key":"k","` + kind + `":[{"default.contains":{"words":["zzz"],"operator":"none"},"deny":true}]}`
}

// notStrict returns the header with strict OpenAI compliance turned off, which hook_results in a stream need.
func notStrict(h http.Header) http.Header {
	h = h.Clone()
	h.Set("X-Portkey-Strict-Open-Ai-Compliance", "false")
	return h
}

func conditionalOn(query string) string {
	return `{"strategy":{"mode":"conditional","default":"a","conditions":[{"query":` + query + `,"then":"b"}]},` + twoTargets + `}`
}

// limitedOnce fails at the first call only.
func limitedOnce() http.HandlerFunc {
	var once sync.Once
	return func(w http.ResponseWriter, r *http.Request) {
		failed := false
		once.Do(func() { failed = true })
		if failed {
			failsWith(429)(w, r)
			return
		}
		answerOpenAI(w, r)
	}
}

// A corpusAnswer is what is compared of an answer.
type corpusAnswer struct {
	Status      int
	ContentType string
	Header      map[string]string // x-portkey-*, and what a provider says in headers
	Body        any
}

func TestPortkeytestAnswersAsTheGatewayDoes(t *testing.T) {
	t.Parallel()
	gateway := withoutVersion(realgateway.URL(t))
	corpus := newCorpus()
	if len(corpus) < 60 {
		t.Errorf("requests: got %d, want 60 at least", len(corpus))
	}
	own := portkeytest.NewGateway(t) // stands for the providers of the real one
	u := newUpstream(t, corpusProvider(t, corpus, own))

	var mu sync.Mutex
	used := make(map[string]bool)
	equal := 0
	inParallel(len(corpus), func(i int) {
		r := corpus[i]
		got := r.atPortkeytest(t)
		want := r.send(t, gateway, r.real, http.Header{"X-Portkey-Custom-Host": {u.URL + fmt.Sprintf("/%d/v1", i)}})
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

// corpusProvider answers the real gateway's calls as the request of the corpus says
// whose number the path begins with.
func corpusProvider(t *testing.T, corpus []corpusRequest, own *portkeytest.Gateway) http.HandlerFunc {
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

// withoutVersion returns a gateway's URL for the requests that say the version themselves.
func withoutVersion(url string) string { return strings.TrimSuffix(url, "/v1") }

func (r *corpusRequest) atPortkeytest(t *testing.T) corpusAnswer {
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
	return r.send(t, withoutVersion(gw.URL()), http.Header{"X-Portkey-Custom-Host": {"http://127.0.0.1:8000/v1"}})
}

// send sends the request, with more headers where it does not have them already.
func (r *corpusRequest) send(t *testing.T, base string, more ...http.Header) (a corpusAnswer) {
	method := r.method
	if method == "" {
		method = http.MethodPost
	}
	path := r.path
	if path == "" {
		path = "/v1/chat/completions"
	}
	req, err := http.NewRequestWithContext(bounded(t), method, base+path, strings.NewReader(r.body))
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
	a = corpusAnswer{resp.StatusCode, strings.ToLower(strings.ReplaceAll(resp.Header.Get("Content-Type"), " ", "")), map[string]string{}, bodyOf(body)}
	for key, values := range resp.Header {
		switch {
		case strings.HasPrefix(key, "X-Portkey-"), key == "Retry-After", key == "X-Request-Id", key == "X-Ratelimit-Remaining":
			a.Header[key] = strings.Join(values, ", ")
		}
	}
	return a
}

// differsIn returns in what two answers differ.
func (a corpusAnswer) differsIn(b corpusAnswer) string {
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

func (a corpusAnswer) String() string {
	b, _ := json.Marshal(a)
	return string(b)
}

// bodyOf returns the value of JSON, the events of a stream, and anything else as
// it is. What a guardrail found, and when, is only a matter of keys and types.
func bodyOf(body []byte) any {
	var v any
	if json.Unmarshal(body, &v) == nil {
		if object, ok := v.(map[string]any); ok && object["hook_results"] != nil {
			object["hook_results"] = typesOf(object["hook_results"])
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
		if object, ok := v.(map[string]any); ok && object["hook_results"] != nil {
			object["hook_results"] = typesOf(object["hook_results"])
		}
		events = append(events, []any{name, v})
	}
	return events
}

// typesOf replaces the values in a value by their types.
func typesOf(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for key, e := range v {
			v[key] = typesOf(e)
		}
		return v
	case []any:
		for i, e := range v {
			v[i] = typesOf(e)
		}
		return v
	}
	return fmt.Sprintf("%T", v)
}

// gatewayProviders returns the providers that the gateway knows: its error for an unknown one
// lists them.
func gatewayProviders(t *testing.T) []string {
	t.Helper()
	unknown := corpusRequest{header: withConfig(`{"provider":"nope","api_key":"k"}`), body: chatBody}
	body, _ := unknown.send(t, withoutVersion(realgateway.URL(t))).Body.(map[string]any)
	_, list, ok := strings.Cut(fmt.Sprint(body["errors"]), "Must be one of: ")
	providers := strings.Split(strings.TrimRight(list, "]"), ", ")
	if !ok || len(providers) < 50 {
		t.Fatalf("got %v from the gateway, want a list of the providers", body)
	}
	return providers
}

// The gateway says which providers it knows, and of each which endpoints it lacks.
func TestPortkeytestKnowsTheProvidersThatTheGatewayKnows(t *testing.T) {
	t.Parallel()
	gateway := withoutVersion(realgateway.URL(t))
	u := newUpstream(t, reply(http.StatusOK, `{}`))
	gw := portkeytest.NewGateway(t)
	providers := gatewayProviders(t)

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
	verdict := func(a corpusAnswer) string {
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
		got := verdict(r.send(t, withoutVersion(gw.URL())))
		want := verdict(r.send(t, gateway, http.Header{"X-Portkey-Custom-Host": {u.URL}}))
		check(t, r.name, got, want)
	})
	t.Logf("%d providers, %d requests", len(providers), len(requests))
}

func TestPortkeytestTakesTheHostsThatTheGatewayTakes(t *testing.T) {
	t.Parallel()
	gateway := withoutVersion(realgateway.URL(t))
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
		got := r.send(t, withoutVersion(gw.URL())).Status == http.StatusBadRequest
		want := r.send(t, gateway).Status == http.StatusBadRequest
		check(t, host+": refused", got, want)
		if want {
			refused++
		}
	}
	t.Logf("%d hosts, %d refused", len(hosts), refused)
}
