package portkey_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"strings"
	"testing"

	"github.com/portkey-go/portkey"
)

// configForms has every form of a config that Portkey documents, once: in the published
// schema, and on the pages about single features and providers.
var configForms = []struct{ name, config string }{
	// What suffices as a config.
	{"saved provider", `{"provider": "@openai-eu"}`},
	{"saved provider with a model", `{"provider": "@openai-eu/gpt-4o-mini"}`},
	{"model of a saved provider", `{"override_params": {"model": "@claude-eu/claude-sonnet-4", "temperature": 0}}`},
	{"virtual key", `{"virtual_key": "groq-7f3a"}`},
	{"provider with its key", `{"provider": "mistral-ai", "api_key": "key"}`},
	{"provider with a custom host", `{"provider": "openai", "custom_host": "https://llm.example.com/v1"}`},
	{"saved prompt", `{"prompt_id": "pp-greeting-1"}`},
	{"simple cache", `{"cache": {"mode": "simple"}}`},
	{"semantic cache", `{"cache": {"mode": "semantic", "max_age": 60}}`},
	{"retries", `{"retry": {"attempts": 4}}`},
	{"retries of some statuses", `{"retry": {"attempts": 2, "on_status_codes": [408, 429]}}`},
	{"retries of no other statuses", `{"virtual_key": "groq-7f3a", "retry": {"attempts": 2, "on_status_codes": []}}`},
	{"retries when the provider says", `{"retry": {"attempts": 5, "use_retry_after_headers": true}}`},
	{"timeout", `{"request_timeout": 2500}`},
	{"forwarded headers", `{"forward_headers": ["authorization", "x-request-region"]}`},
	{"passthrough", `{"passthrough": true}`},
	{"default parameters", `{"default_params": {"temperature": 0.3, "max_tokens": 500}}`},
	{"dropped parameters", `{"drop_params": ["logprobs", "tools[0].function.strict", "messages[*].content[*].text"]}`},
	{"all parameters", `{"provider": "@openai-eu", "default_params": {"n": 1}, "override_params": {}, "drop_params": []}`},
	{"compliance", `{"provider": "@perplexity-eu", "strict_open_ai_compliance": false}`},
	{"models of integrations", `{
		"fetch_integrated_models": true,
		"targets": [{"provider": "@openai-eu"}, {"provider": "@claude-eu"}]
	}`},

	// Guardrails.
	{"guardrails by their IDs", `{"input_guardrails": ["pg-pii-1", "pg-topic-2"], "output_guardrails": ["pg-json-3"]}`},
	{"guardrails of both kinds", `{"input_guardrails": ["pg-pii-1", {"id": "pg-topic-2", "deny": true}]}`},
	{"guardrail in its short form", `{"output_guardrails": [{
		"default.contains": {"operator": "none", "words": ["Acme"]},
		"deny": true, "async": false,
		"on_success": {"feedback": {"value": 1}},
		"on_fail": {"deny": true, "feedback": {"value": -1, "weight": 0.5, "metadata": {"team": "search"}}}
	}]}`},
	{"guardrails in their long form", `{
		"before_request_hooks": [{
			"id": "no-secrets", "type": "guardrail", "deny": false, "async": false, "sequential": true,
			"credentials": {"api_key": "key", "domain": "guard.example.com"},
			"checks": [{
				"id": "default.webhook",
				"parameters": {"webhookURL": "https://guard.example.com", "forwardHeaders": ["x-session-id"]}
			}],
			"on_success": {"feedback": {"value": 1, "weight": 1}}
		}],
		"after_request_hooks": [{"id": "valid-json"}]
	}`},
	{"guardrail with its result", `{"after_request_hooks": [{
		"id": "valid-json", "type": "guardrail", "verdict": false, "deny": false, "transformed": false,
		"execution_time": 3, "feedback": null, "created_at": "2026-01-01T00:00:00Z",
		"checks": [{"id": "default.validJSON", "verdict": false, "data": {"explanation": "x"}, "log": null}]
	}]}`},

	// Strategies.
	{"single", `{"strategy": {"mode": "single"}, "targets": [{"provider": "@openai-eu"}]}`},
	{"fallback on some statuses", `{
		"strategy": {"mode": "fallback", "on_status_codes": [408, 503]},
		"request_timeout": 9000, "retry": {"attempts": 1},
		"targets": [{"virtual_key": "a", "request_timeout": 2000, "cache": {"mode": "simple"}}, {"virtual_key": "b"}]
	}`},
	{"fallback on a target's statuses", `{
		"strategy": {"mode": "fallback"},
		"targets": [{"virtual_key": "a", "on_status_codes": [429]}, {"virtual_key": "b"}]
	}`},
	{"fallback from the request's provider", `{
		"strategy": {"mode": "fallback"},
		"targets": [{"passthrough": true, "override_params": {"model": "gpt-4o"}}, {"provider": "@claude-eu"}]
	}`},
	{"load balancing", `{
		"strategy": {"mode": "loadbalance"},
		"targets": [{"provider": "@a", "weight": 0.8}, {"provider": "@b", "weight": 2}, {"provider": "@c", "weight": 0}]
	}`},
	{"load balancing with the request's provider", `{
		"strategy": {"mode": "loadbalance"},
		"targets": [{"passthrough": true, "weight": 0.9}, {"provider": "@b", "weight": 0.1}]
	}`},
	{"sticky load balancing", `{
		"strategy": {
			"mode": "loadbalance",
			"sticky": {"enabled": true, "hash_fields": ["metadata.session", "metadata.user"], "ttl": 900}
		},
		"targets": [{"provider": "@a"}, {"provider": "@b"}]
	}`},
	{"sticky load balancing, off", `{
		"strategy": {"mode": "loadbalance", "sticky": {"enabled": false}},
		"targets": [{"provider": "@a"}, {"provider": "@b"}]
	}`},
	{"circuit breaker by percentage", `{
		"strategy": {"mode": "fallback", "cb_config": {
			"failure_threshold_percentage": 12.5, "minimum_requests": 40,
			"cooldown_interval": 45000, "failure_status_codes": [500, 502]
		}},
		"targets": [{"provider": "@a"}, {"provider": "@b"}]
	}`},
	{"circuit breaker of a target, by number", `{
		"strategy": {"mode": "fallback"},
		"targets": [
			{"provider": "@a", "cb_config": {"failure_threshold": 3, "cooldown_interval": 30000}},
			{"provider": "@b"}
		]
	}`},
	{"conditional, by every key and operator", `{
		"strategy": {"mode": "conditional", "default": "small", "conditions": [
			{"query": {"metadata.plan": "gold"}, "then": "large"},
			{"query": {"metadata.beta": {"$eq": true}}, "then": "large"},
			{"query": {"metadata.plan": {"$ne": "free"}, "metadata.region": {"$in": ["eu", "uk"]}}, "then": "large"},
			{"query": {"params.model": {"$nin": ["a", "b"]}}, "then": "large"},
			{"query": {"params.max_tokens": {"$gt": 100, "$lte": 900}}, "then": "large"},
			{"query": {"params.temperature": {"$gte": 0.1, "$lt": 0.9}}, "then": "large"},
			{"query": {"url.pathname": {"$regex": "^/v1/(?!chat)"}}, "then": "large"},
			{"query": {"$or": [
				{"params.n": 2},
				{"$and": [{"metadata.app": {"$regex": "mobile"}}, {"params.stream": true}]}
			]}, "then": "large"}
		]},
		"targets": [{"name": "small", "provider": "@a"}, {"name": "large", "provider": "@b", "input_guardrails": ["pg-1"]}]
	}`},
	{"conditional, by a nested flag (older pages)", `{
		"strategy": {"mode": "conditional", "default": "old", "conditions": [
			{"query": {"metadata.flags.new_search": {"$eq": true}}, "then": "new"}
		]},
		"targets": [{"name": "old", "virtual_key": "a"}, {"name": "new", "virtual_key": "b"}]
	}`},
	{"strategies within each other", `{
		"strategy": {"mode": "fallback"}, "cache": {"mode": "simple"},
		"targets": [
			{"strategy": {"mode": "loadbalance"}, "targets": [
				{"override_params": {"model": "@a/m"}, "weight": 1},
				{"prompt_id": "pp-1", "weight": 1}
			]},
			{"strategy": {"mode": "conditional", "default": "eu", "conditions": []}, "targets": [
				{"name": "eu", "strategy": {"mode": "single"}, "targets": [{"provider": "@b"}]}
			]}
		]
	}`},

	// Parameters of single providers.
	{"OpenAI", `{"provider": "openai", "api_key": "key", "openai_organization": "org-1", "openai_project": "proj_1"}`},
	{"Azure OpenAI", `{
		"provider": "azure-openai", "api_key": "key",
		"resource_name": "res", "deployment_id": "dep", "api_version": "2024-10-21"
	}`},
	{"Azure OpenAI with deployments", `{
		"provider": "azure-openai", "api_key": "key", "resource_name": "res",
		"deployments": [
			{"deployment_id": "dep-1", "alias": "gpt-4o", "api_version": "2024-10-21", "is_default": true},
			{"deployment_id": "dep-2", "alias": "o3", "api_version": "v1", "is_default": false},
			{"deployment_id": "dep-3", "alias": "o4-mini", "api_version": "v1"}
		]
	}`},
	{"Azure OpenAI by the names of its headers", `{
		"provider": "azure-openai", "api_key": "key", "azure_resource_name": "res",
		"azure_deployment_id": "dep", "azure_api_version": "2024-10-21", "azure_model_name": "gpt-4o"
	}`},
	{"Azure OpenAI with a managed identity", `{
		"provider": "azure-openai", "azure_auth_mode": "managed", "resource_name": "res"
	}`},
	{"Azure AI, serverless", `{
		"provider": "azure-ai", "azure_deployment_name": "dep", "azure_deployment_type": "serverless",
		"azure_region": "eastus", "azure_api_version": "2024-05-01"
	}`},
	{"Azure AI, managed", `{"provider": "azure-ai", "azure_endpoint_name": "end", "azure_deployment_type": "managed"}`},
	{"Bedrock", `{
		"provider": "bedrock", "aws_access_key_id": "id", "aws_secret_access_key": "key",
		"aws_region": "eu-west-1", "aws_session_token": "token"
	}`},
	{"SageMaker", `{
		"provider": "sagemaker", "aws_access_key_id": "id", "aws_secret_access_key": "key",
		"aws_region": "eu-west-1", "amzn_sagemaker_inference_component": "llama"
	}`},
	{"Vertex AI by its project", `{
		"provider": "vertex-ai", "api_key": "key", "vertex_project_id": "project", "vertex_region": "global"
	}`},
	{"Vertex AI by a service account", `{
		"provider": "vertex-ai", "vertex_region": "europe-west4",
		"vertex_service_account_json": {"type": "service_account", "private_key": "key", "scopes": ["a"], "n": 1}
	}`},
}

func TestDocumentedConfigsAreValidAndTyped(t *testing.T) {
	t.Parallel()
	for _, tt := range configForms {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			c := decodeConfig(t, tt.config)
			if err := c.Validate(); err != nil {
				t.Errorf("Validate: got %v, want no error", err)
			}
			got, err := json.Marshal(c)
			if err != nil || !sameJSON(t, string(got), tt.config) {
				t.Errorf("encoded again: got %s, %v, want %s", got, err, tt.config)
			}
			if extra := allExtra("", reflect.ValueOf(c)); len(extra) > 0 {
				t.Errorf("keys without a field: got %v, want none", extra)
			}
		})
	}
}

// allExtra returns what is in the Extra of a config and of its parts, by its path.
func allExtra(path string, v reflect.Value) map[string]any {
	all := map[string]any{}
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			return allExtra(path, v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			maps.Copy(all, allExtra(fmt.Sprintf("%s[%d]", path, i), v.Index(i)))
		}
	case reflect.Struct:
		for i := range v.NumField() {
			field := v.Type().Field(i)
			if field.Name != "Extra" {
				maps.Copy(all, allExtra(path+"."+field.Name, v.Field(i)))
				continue
			}
			for key, value := range v.Field(i).Interface().(map[string]any) {
				all[path+"."+key] = value
			}
		}
	}
	return all
}

// A new field needs a documented form.
func TestConfigFormsHaveEveryField(t *testing.T) {
	t.Parallel()
	var forms strings.Builder
	for _, f := range configForms {
		forms.WriteString(f.config)
	}
	for _, part := range []any{
		portkey.ConfigObject{}, portkey.Deployment{}, portkey.Strategy{}, portkey.Sticky{}, portkey.Condition{},
		portkey.Cache{}, portkey.Retry{}, portkey.CircuitBreaker{},
	} {
		typ := reflect.TypeOf(part)
		for i := range typ.NumField() {
			key := typ.Field(i).Tag.Get("json")
			if key == "-" || key == "use_retry_after_header" { // not documented: what the open-source gateway reads
				continue
			}
			if !strings.Contains(forms.String(), `"`+key+`":`) {
				t.Errorf("%s.%s: got no form with %s, want one", typ.Name(), typ.Field(i).Name, key)
			}
		}
	}
}
