package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/interop/internal/realgateway"
)

// A configCase is a config that the gateway and Validate have to judge alike.
type configCase struct {
	kind string // what is tried
	text string
	path string // of the fault that it has, if it has one
}

// configDifferences are the kinds of configs that the gateway and Validate do not
// judge alike, on purpose.
var configDifferences = map[string]struct {
	refusedBy string // gateway or Validate
	reason    string
}{
	"target virtual_key":              {"gateway", "hosted gateway only"},
	"target prompt_id":                {"gateway", "hosted gateway only"},
	"target forward_headers":          {"gateway", "hosted gateway only"},
	"target @provider":                {"gateway", "hosted gateway only"},
	"target @model":                   {"gateway", "hosted gateway only"},
	"target custom_host":              {"gateway", "hosted gateway only: it may need no key"},
	"target azure_endpoint_name":      {"gateway", "hosted gateway only: it knows the key"},
	"target azure_deployment_name":    {"gateway", "hosted gateway only: it knows the key"},
	"unknown provider":                {"gateway", "the hosted gateway knows more providers, and a newer one will"},
	"private custom_host":             {"gateway", "which hosts are trusted is the gateway's own setting"},
	"custom_host with a query":        {"Validate", "the gateway appends the endpoint's path to it, which makes an invalid URL"},
	"custom_host with a fragment":     {"Validate", "the gateway appends the endpoint's path to it, which makes an invalid URL"},
	"custom_host with an escape":      {"Validate", "as everywhere in the library: escapes are lost on the way"},
	"custom_host too long":            {"Validate", "documented, and so refused by the hosted gateway"},
	"target passthrough":              {"gateway", "hosted gateway only"},
	"target default_params":           {"gateway", "hosted gateway only"},
	"target drop_params":              {"gateway", "hosted gateway only"},
	"target fetch_integrated_models":  {"gateway", "hosted gateway only"},
	"guardrails of both kinds":        {"gateway", "the published schema allows them in one list"},
	"service account with a number":   {"gateway", "the published schema allows any value"},
	"hosted key of another type":      {"Validate", "the open-source gateway does not read the key"},
	"query not evaluated as written":  {"Validate", "see TestQueriesThatValidateRefusesAreNotEvaluatedAsWritten"},
	"invalid part of a query":         {"Validate", "it is true for every request"},
	"name that is not text":           {"Validate", "no condition can name such a target"},
	"virtual_key that is not text":    {"Validate", "the open-source gateway does not look at it"},
	"prompt_id that is not text":      {"Validate", "the open-source gateway does not look at it"},
	"conditional without default":     {"Validate", "fails as soon as no condition holds"},
	"default that is not reached":     {"Validate", "fails as soon as no condition holds"},
	"condition that is not reached":   {"Validate", "fails as soon as the condition is tried"},
	"conditional that is not reached": {"Validate", "fails as soon as the target's turn comes"},
}

// A template is a part of a config, with %s where a value of a type belongs.
type template struct {
	path string // of the value
	kind string // its type
	text string
}

const (
	someTarget  = `{"name":"a","provider":"openai","api_key":"k1"}`
	conditional = `"mode":"conditional","default":"a"`
	paid        = `{"query":{"metadata.plan":"paid"},"then":"a"}`
)

// configTemplates are all keys that the gateway checks, and what is in them.
var configTemplates = []template{
	{"provider", "text", `{"provider":%s}`},
	{"api_key", "text", `{"api_key":%s}`},
	{"custom_host", "text", `{"custom_host":%s}`},
	{"weight", "number", `{"weight":%s}`},
	{"request_timeout", "number", `{"request_timeout":%s}`},
	{"strict_open_ai_compliance", "flag", `{"strict_open_ai_compliance":%s}`},
	{"on_status_codes", "list", `{"on_status_codes":%s}`},
	{"on_status_codes[1]", "number", `{"on_status_codes":[429,%s]}`},
	{"forward_headers", "list", `{"forward_headers":%s}`},
	{"forward_headers[0]", "text", `{"forward_headers":[%s]}`},
	{"openai_project", "text", `{"openai_project":%s}`},
	{"openai_organization", "text", `{"openai_organization":%s}`},
	{"azure_model_name", "text", `{"azure_model_name":%s}`},
	{"azure_auth_mode", "text", `{"azure_auth_mode":%s}`},
	{"aws_access_key_id", "text", `{"aws_access_key_id":%s}`},
	{"aws_secret_access_key", "text", `{"aws_secret_access_key":%s}`},
	{"aws_session_token", "text", `{"aws_session_token":%s}`},
	{"aws_region", "text", `{"aws_region":%s}`},
	{"vertex_project_id", "text", `{"vertex_project_id":%s}`},
	{"vertex_region", "text", `{"vertex_region":%s}`},
	{"vertex_service_account_json", "object", `{"vertex_service_account_json":%s}`},
	{"cache", "object", `{"cache":%s}`},
	{"cache.mode", "text", `{"cache":{"mode":%s}}`},
	{"cache.max_age", "number", `{"cache":{"mode":"simple","max_age":%s}}`},
	{"retry", "object", `{"retry":%s}`},
	{"retry.attempts", "number", `{"retry":{"attempts":%s}}`},
	{"retry.on_status_codes", "list", `{"retry":{"attempts":1,"on_status_codes":%s}}`},
	{"retry.on_status_codes[0]", "number", `{"retry":{"attempts":1,"on_status_codes":[%s]}}`},
	{"retry.use_retry_after_header", "flag", `{"retry":{"attempts":1,"use_retry_after_header":%s}}`},
	{"input_guardrails", "list", `{"input_guardrails":%s}`},
	{"input_guardrails", "text or object", `{"input_guardrails":[%s]}`},
	{"input_guardrails[1]", "text or object", `{"input_guardrails":["g1",%s]}`},
	{"input_guardrails[1]", "text or object", `{"input_guardrails":[{"id":"g1"},%s]}`},
	{"output_guardrails", "list", `{"output_guardrails":%s}`},
	{"output_guardrails[1]", "text or object", `{"output_guardrails":["g1",%s]}`},
	{"output_guardrails[1]", "text or object", `{"output_guardrails":[{"id":"g1"},%s]}`},
	{"before_request_hooks", "list", `{"before_request_hooks":%s}`},
	{"before_request_hooks[0]", "object", `{"before_request_hooks":[%s]}`},
	{"after_request_hooks", "list", `{"after_request_hooks":%s}`},
	{"after_request_hooks[1]", "object", `{"after_request_hooks":[{"type":"guardrail"},%s]}`},
	{"targets", "list", `{"strategy":{"mode":"single"},"targets":%s}`},
	{"targets[0]", "object", `{"strategy":{"mode":"single"},"targets":[%s]}`},
	{"targets[1]", "object", `{"strategy":{"mode":"fallback"},"targets":[` + someTarget + `,%s]}`},
	{"strategy", "object", `{"strategy":%s,"targets":[` + someTarget + `]}`},
	{"strategy.mode", "text", `{"strategy":{"mode":%s},"targets":[` + someTarget + `]}`},
	{"strategy.on_status_codes", "list", `{"strategy":{"mode":"fallback","on_status_codes":%s},"targets":[` + someTarget + `]}`},
	{"strategy.on_status_codes[0]", "number", `{"strategy":{"mode":"fallback","on_status_codes":[%s]},"targets":[` + someTarget + `]}`},
	{"strategy.default", "text", `{"strategy":{"mode":"conditional","default":%s,"conditions":[` + paid + `]},"targets":[` + someTarget + `]}`},
	{"strategy.conditions", "list", `{"strategy":{` + conditional + `,"conditions":%s},"targets":[` + someTarget + `]}`},
	{"strategy.conditions[1]", "object", `{"strategy":{` + conditional + `,"conditions":[` + paid + `,%s]},"targets":[` + someTarget + `]}`},
	{"strategy.conditions[0].query", "object", `{"strategy":{` + conditional + `,"conditions":[{"query":%s,"then":"a"}]},"targets":[` + someTarget + `]}`},
	{"strategy.conditions[0].then", "text", `{"strategy":{` + conditional + `,"conditions":[{"query":{"metadata.plan":"paid"},"then":%s}]},"targets":[` + someTarget + `]}`},
}

// wrongValues are values that are not of a type.
var wrongValues = map[string][]string{
	"text":           {`1`, `true`, `null`, `["x"]`, `{"a":"x"}`},
	"number":         {`"1"`, `true`, `null`, `[1]`, `{"a":1}`},
	"flag":           {`"true"`, `1`, `null`, `[true]`, `{}`},
	"list":           {`"x"`, `1`, `true`, `null`, `{"0":"x"}`},
	"object":         {`"x"`, `1`, `false`, `null`, `[{}]`},
	"text or object": {`1`, `true`, `null`, `[]`},
}

// configForms are further parts of configs: valid ones, broken ones, and what
// configDifferences lists. Those that begin with "target" stand by themselves.
var configForms = []configCase{
	{"provider", `{}`, ""},
	{"provider", `{"provider":"anthropic"}`, ""},
	{"provider", `{"provider":"groq","api_key":""}`, ""},
	{"provider", `{"provider":"together-ai","override_params":{"model":"m2","temperature":0,"stop":null}}`, ""},
	{"provider", `{"provider":"workers-ai","api_key":"k"}`, ""},
	{"name", `{"name":"n"}`, ""},
	{"weight", `{"weight":0.25}`, ""},
	{"weight", `{"weight":1e2}`, ""},
	{"cache", `{"cache":{"mode":"simple"}}`, ""},
	{"cache", `{"cache":{"mode":"semantic","max_age":60.5}}`, ""},
	{"cache", `{"cache":{"mode":"simple","max_age":0,"newer":[1]}}`, ""},
	{"retry", `{"retry":{"attempts":2}}`, ""},
	{"retry", `{"retry":{"attempts":0}}`, ""},
	{"retry", `{"retry":{"attempts":5,"on_status_codes":[429,503],"use_retry_after_header":true}}`, ""},
	{"retry", `{"retry":{"attempts":1,"on_status_codes":[],"use_retry_after_header":false}}`, ""},
	{"retry", `{"retry":{"attempts":1.5}}`, ""},
	{"retry", `{"retry":{"attempts":1,"use_retry_after_headers":true}}`, ""},
	{"on_status_codes", `{"on_status_codes":[429,500.5]}`, ""},
	{"request_timeout", `{"request_timeout":60000}`, ""},
	{"request_timeout", `{"request_timeout":60000.5}`, ""},
	{"strict", `{"strict_open_ai_compliance":false}`, ""},
	{"strict", `{"strict_open_ai_compliance":true}`, ""},
	{"override_params", `{"override_params":{"model":"m2","user":"Zo\u00eb","metadata":{"a":[1,2.5,null]}}}`, ""},
	{"default_params", `{"default_params":{"temperature":0.5},"drop_params":["user"]}`, ""},
	{"forward_headers", `{"forward_headers":["X-Tenant","X-Other"]}`, ""},
	{"forward_headers", `{"forward_headers":[]}`, ""},
	{"custom_host", `{"custom_host":"https://llm.example.com/v1"}`, ""},
	{"custom_host", `{"custom_host":"http://127.0.0.1:1/v1"}`, ""},
	{"custom_host", `{"custom_host":"http://localhost:11434"}`, ""},
	{"custom_host", `{"custom_host":"HTTPS://llm.example.com/v1/"}`, ""},
	{"custom_host", `{"custom_host":""}`, ""},
	{"openai", `{"openai_organization":"org-1","openai_project":"proj_1"}`, ""},
	{"guardrails", `{"input_guardrails":[],"output_guardrails":[]}`, ""},
	{"guardrails", `{"input_guardrails":["g1","g2"]}`, ""},
	{"guardrails", `{"output_guardrails":["g1"]}`, ""},
	{"guardrails", `{"input_guardrails":[{"default.contains":{"operator":"none","words":["zzz"]},"deny":true}]}`, ""},
	{"guardrails", `{"output_guardrails":[{"default.regexMatch":{"rule":"."},"deny":false}]}`, ""},
	{"hooks", `{"before_request_hooks":[]}`, ""},
	{"hooks", `{"before_request_hooks":[{"type":"guardrail","id":"h1","checks":[{"id":"default.contains","parameters":{"operator":"none","words":["zzz"]}}],"deny":true}]}`, ""},
	{"hooks", `{"after_request_hooks":[{"type":"guardrail","id":"h2","checks":[{"id":"default.regexMatch","parameters":{"rule":"."}}]}]}`, ""},
	{"newer key", `{"newer_than_this":{"a":[1,"x",null,true]}}`, ""},
	{"azure", `{"provider":"azure-openai","azure_resource_name":"r","azure_deployment_id":"d","azure_api_version":"2024-06-01","azure_model_name":"m"}`, ""},
	{"bedrock", `{"provider":"bedrock","aws_access_key_id":"a","aws_secret_access_key":"s","aws_region":"us-east-1","aws_session_token":"t"}`, ""},
	{"vertex-ai", `{"provider":"vertex-ai","vertex_project_id":"p","vertex_region":"us-central1","override_params":{"model":"gemini-pro"}}`, ""},
	{"vertex-ai", `{"provider":"vertex-ai","vertex_service_account_json":{"type":"service_account"},"vertex_region":"us-central1","override_params":{"model":"gemini-pro"}}`, ""},

	{"target of a provider without key", `{"provider":"ollama","custom_host":"http://127.0.0.1:11434"}`, ""},
	{"target of a provider without key", `{"provider":"ollama"}`, ""},
	{"target of bedrock", `{"provider":"bedrock","aws_access_key_id":"a","aws_secret_access_key":"s","aws_region":"us-east-1"}`, ""},
	{"target of azure", `{"provider":"azure-openai","azure_auth_mode":"managed","azure_resource_name":"r","azure_deployment_id":"d","azure_api_version":"v"}`, ""},
	{"target of vertex-ai", `{"provider":"vertex-ai","vertex_project_id":"p","vertex_region":"us-central1","override_params":{"model":"gemini-pro"}}`, ""},
	{"target with a timeout", `{"provider":"openai","request_timeout":60000}`, ""},
	{"target with a cache", `{"provider":"openai","cache":{"mode":"simple"}}`, ""},
	{"target with retries", `{"provider":"openai","retry":{"attempts":1}}`, ""},
	{"target with guardrails", `{"provider":"openai","input_guardrails":[]}`, ""},
	{"target with hooks", `{"provider":"openai","after_request_hooks":[]}`, ""},

	{"target that says nothing", `{}`, "<needs"},
	{"target that says nothing", `{"weight":1}`, "<needs"},
	{"target that says nothing", `{"name":"a","override_params":{"model":"m"}}`, "<needs"},
	{"target without api_key", `{"provider":"openai"}`, "<needs"},
	{"target without provider", `{"api_key":"k"}`, "<needs"},
	{"target with half of a key", `{"provider":"bedrock","aws_access_key_id":"a"}`, "<needs"},
	{"target with half of a key", `{"provider":"bedrock","aws_access_key_id":"a","aws_secret_access_key":""}`, "<needs"},
	{"target with no timeout", `{"provider":"openai","request_timeout":0}`, "<needs"},
	{"target with no timeout", `{"provider":"openai","name":"a","request_timeout":0.0}`, "<needs"},
	{"target with no auth mode", `{"provider":"azure-openai","azure_auth_mode":""}`, "<needs"},
	{"target with an auth mode of another", `{"provider":"openai","azure_auth_mode":"managed"}`, "<needs"},
	{"target without targets", `{"strategy":{"mode":"fallback"}}`, "<needs"},
	{"target without strategy", `{"targets":[` + someTarget + `]}`, "<needs"},
	{"target in camel case", `{"provider":"openai","apiKey":"k"}`, "<needs"},

	{"bad provider", `{"provider":"OpenAI"}`, "provider"},
	{"bad provider", `{"provider":"open ai"}`, "provider"},
	{"bad provider", `{"provider":""}`, "provider"},
	{"bad provider", `{"provider":"openai "}`, "provider"},
	{"bad provider", `{"provider":"azure_openai"}`, "provider"},
	{"vertex-ai without region", `{"provider":"vertex-ai","vertex_project_id":"p"}`, "provider"},
	{"vertex-ai without region", `{"provider":"vertex-ai","vertex_project_id":"p","vertex_region":""}`, "provider"},
	{"vertex-ai without project", `{"provider":"vertex-ai","vertex_region":"us-central1"}`, "provider"},
	{"vertex-ai without anything", `{"provider":"vertex-ai"}`, "provider"},
	{"bad cache", `{"cache":{"mode":"fancy"}}`, "cache.mode"},
	{"bad cache", `{"cache":{"mode":""}}`, "cache.mode"},
	{"bad cache", `{"cache":{"mode":"Simple"}}`, "cache.mode"},
	{"bad cache", `{"cache":{"max_age":1}}`, "cache.mode"},
	{"bad cache", `{"cache":{}}`, "cache.mode"},
	{"bad retry", `{"retry":{}}`, "retry.attempts"},
	{"bad retry", `{"retry":{"on_status_codes":[429]}}`, "retry.attempts"},
	{"bad custom_host", `{"custom_host":"ftp://llm.example.com"}`, "custom_host"},
	{"bad custom_host", `{"custom_host":"llm.example.com"}`, "custom_host"},
	{"bad custom_host", `{"custom_host":"llm.example.com:443/v1"}`, "custom_host"},
	{"bad custom_host", `{"custom_host":"https://u:p@llm.example.com"}`, "custom_host"},
	{"bad custom_host", `{"custom_host":"https://"}`, "custom_host"},
	{"bad custom_host", `{"custom_host":"https://llm.example.com:99999/v1"}`, "custom_host"},
	{"bad custom_host", `{"custom_host":"/v1"}`, "custom_host"},
	{"bad custom_host", `{"custom_host":" "}`, "custom_host"},
	{"bad custom_host", `{"custom_host":"file:///etc/passwd"}`, "custom_host"},
	{"bad strategy", `{"strategy":{"mode":"random"},"targets":[` + someTarget + `]}`, "strategy.mode"},
	{"bad strategy", `{"strategy":{"mode":"Fallback"},"targets":[` + someTarget + `]}`, "strategy.mode"},
	{"bad strategy", `{"strategy":{"mode":""},"targets":[` + someTarget + `]}`, "strategy.mode"},
	{"bad strategy", `{"strategy":{},"targets":[` + someTarget + `]}`, "strategy.mode"},
	{"bad strategy", `{"strategy":{"on_status_codes":[429]},"targets":[` + someTarget + `]}`, "strategy.mode"},
	{"bad target", `{"strategy":{"mode":"single"},"targets":[{}]}`, "targets[0]"},
	{"bad target", `{"strategy":{"mode":"fallback"},"targets":[` + someTarget + `,{"provider":"openai"}]}`, "targets[1]"},
	{"bad target", `{"strategy":{"mode":"fallback"},"targets":[` + someTarget + `,` + someTarget + `,{"provider":"openai","api_key":"k","retry":{}}]}`, "targets[2].retry.attempts"},

	{"strategy", `{"strategy":{"mode":"single"},"targets":[` + someTarget + `]}`, ""},
	{"strategy", `{"strategy":{"mode":"fallback"},"targets":[` + someTarget + `,` + someTarget + `]}`, ""},
	{"strategy", `{"strategy":{"mode":"fallback","on_status_codes":[429,503]},"targets":[` + someTarget + `,` + someTarget + `]}`, ""},
	{"strategy", `{"strategy":{"mode":"fallback","on_status_codes":[]},"targets":[` + someTarget + `]}`, ""},
	{"strategy", `{"strategy":{"mode":"loadbalance"},"targets":[{"provider":"openai","api_key":"k","weight":0},` + someTarget + `]}`, ""},
	{"strategy", `{"strategy":{"mode":"loadbalance","newer":{}},"targets":[{"provider":"openai","api_key":"k","weight":0.7},{"provider":"groq","api_key":"k","weight":0.3}]}`, ""},
	{"strategy", `{"strategy":{"mode":"loadbalance"},"targets":[` + someTarget + `],"cache":{"mode":"simple"},"retry":{"attempts":1},"request_timeout":60000}`, ""},
	{"strategy", `{"strategy":{"mode":"single","default":"nobody"},"targets":[` + someTarget + `]}`, ""},
	{"strategy", `{"strategy":{"mode":"fallback","conditions":[]},"targets":[` + someTarget + `]}`, ""},
	{"no targets", `{"strategy":{"mode":"single"},"targets":[]}`, "targets"}, // for more see unanswered
	{"no targets", `{"strategy":{"mode":"fallback"},"cache":{"mode":"simple"}}`, "targets"},
	{"target of no provider", `{"cache":{"mode":"simple"}}`, ""},
	{"target of no provider", `{"retry":{"attempts":1}}`, ""},

	{"target virtual_key", `{"virtual_key":"vk-1"}`, ""},
	{"target virtual_key", `{"provider":"openai","virtual_key":"vk-1"}`, ""},
	{"target virtual_key", `{"provider":"vertex-ai","virtual_key":"vk-1"}`, ""},
	{"name that is not text", `{"name":1}`, "name"},
	{"name that is not text", `{"name":null}`, "name"},
	{"virtual_key that is not text", `{"virtual_key":1}`, "virtual_key"},
	{"prompt_id that is not text", `{"prompt_id":["pp-1"]}`, "prompt_id"},
	{"target prompt_id", `{"prompt_id":"pp-1"}`, ""},
	{"target forward_headers", `{"forward_headers":["X-Tenant"]}`, ""},
	{"target forward_headers", `{"provider":"openai","forward_headers":["authorization"]}`, ""},
	{"target @provider", `{"provider":"@openai-prod"}`, ""},
	{"target @provider", `{"provider":"@openai-prod","api_key":"k"}`, ""},
	{"target @model", `{"override_params":{"model":"@openai-prod/gpt-4o"}}`, ""},
	{"target custom_host", `{"provider":"openai","custom_host":"https://llm.example.com/v1"}`, ""},
	{"target passthrough", `{"passthrough":true}`, ""},
	{"target passthrough", `{"passthrough":true,"override_params":{"model":"m2"}}`, ""},
	{"target default_params", `{"default_params":{"temperature":0.5}}`, ""},
	{"target drop_params", `{"drop_params":["user"]}`, ""},
	{"target fetch_integrated_models", `{"fetch_integrated_models":true,"targets":[` + someTarget + `]}`, ""},
	{"guardrails of both kinds", `{"input_guardrails":["g1",{"id":"g2"}]}`, ""},
	{"guardrails of both kinds", `{"output_guardrails":[{"default.contains":{"operator":"none","words":["zzz"]}},"g1"]}`, ""},
	{"service account with a number", `{"vertex_service_account_json":{"type":"service_account","n":1}}`, ""},
	{"hosted keys", `{"passthrough":false,"fetch_integrated_models":false,"default_params":{},"drop_params":["a.b[*].c"]}`, ""},
	{"hosted keys", `{"strategy":{"mode":"loadbalance","sticky":{"enabled":true,"hash_fields":["metadata.u"],"ttl":60}},"targets":[` + someTarget + `]}`, ""},
	{"hosted keys", `{"cb_config":{"failure_threshold":3,"failure_threshold_percentage":12.5,"cooldown_interval":30000}}`, ""},
	{"hosted key of another type", `{"passthrough":"true"}`, "passthrough"},
	{"hosted key of another type", `{"default_params":[]}`, "default_params"},
	{"hosted key of another type", `{"drop_params":"a"}`, "drop_params"},
	{"hosted key of another type", `{"cb_config":{"failure_threshold":"3"}}`, "cb_config.failure_threshold"},
	{"hosted key of another type", `{"deployments":[{"deployment_id":"d","alias":"a"}]}`, "deployments[0].api_version"},
	{"hosted key of another type", `{"strategy":{"mode":"loadbalance","sticky":{"ttl":"1h"}},"targets":[` + someTarget + `]}`, "strategy.sticky.ttl"},
	{"target azure_endpoint_name", `{"provider":"azure-ai","azure_endpoint_name":"e"}`, ""},
	{"target azure_deployment_name", `{"provider":"azure-ai","azure_deployment_name":"d"}`, ""},
	{"unknown provider", `{"provider":"databricks"}`, ""},
	{"unknown provider", `{"provider":"newer-than-this"}`, ""},
	{"private custom_host", `{"custom_host":"http://10.0.0.5:8000/v1"}`, ""},
	{"private custom_host", `{"custom_host":"http://192.168.1.2/v1"}`, ""},
	{"private custom_host", `{"custom_host":"http://169.254.169.254/latest"}`, ""},
	{"private custom_host", `{"custom_host":"http://llm.internal/v1"}`, ""},
	{"private custom_host", `{"custom_host":"https://api.portkey.ai/v1"}`, ""},
	{"private custom_host", `{"custom_host":"http://[::1]:8000/v1"}`, ""},
	{"custom_host with a query", `{"custom_host":"https://llm.example.com/v1?a=b"}`, "custom_host"},
	{"custom_host with a fragment", `{"custom_host":"https://llm.example.com/v1#a"}`, "custom_host"},
	{"custom_host with an escape", `{"custom_host":"https://llm.example.com/a%20b"}`, "custom_host"},
	{"custom_host too long", `{"custom_host":"https://llm.example.com/` + strings.Repeat("a", 2048) + `"}`, "custom_host"},
}

// querying is a conditional config whose one condition is query, with then and
// default. callWithConfig has the metadata and parameters that it compares.
func querying(query, then, def string) string {
	return fmt.Sprintf(`{"strategy":{"mode":"conditional","conditions":[{"query":%s,"then":%q}],"default":%q},`+
		`"targets":[%s,{"name":"b","provider":"groq","api_key":"k2"}]}`, query, then, def, someTarget)
}

// unevaluatedQueries are queries that Validate refuses, though the gateway does not. For the call of callWithConfig
// their authors would expect another result, except where the gateway's is the same for every call.
var unevaluatedQueries = []struct {
	query string
	holds bool // at the gateway
}{
	{`{"metadata.user.plan":{"$eq":"paid"}}`, false},
	{`{"metadata.user.plan":"paid"}`, false},
	{`{"metadata.plan.x":{"$eq":"paid"}}`, true}, // compares metadata.plan
	{`{"params.response_format.type":{"$eq":"json_object"}}`, false},
	{`{"headers.x-plan":{"$eq":"paid"}}`, false},
	{`{"url.method":{"$eq":"POST"}}`, false},
	{`{"plan":"paid"}`, false},
	{`{"model":{"$ne":"m1"}}`, true}, // the key is absent from every request
	{`{"metadata.plan":{"$regex":"(?i)PAID"}}`, false},
	{`{"metadata.plan":{"$regex":"(paid"}}`, false},
	{`{"metadata.plan":{"$in":"paid"}}`, false},
	{`{"metadata.plan":{"$nin":"free"}}`, false},
	{`{"$or":"paid"}`, false},
	{`{"$and":null}`, false},
	{`{"$or":[{"metadata.plan":"paid"}],"metadata.n":"6"}`, true},
	{`{"$and":[{"metadata.plan":"paid"}],"$or":[{"metadata.n":"6"}]}`, true},
}

func TestQueriesThatValidateRefusesAreNotEvaluatedAsWritten(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	for _, tt := range unevaluatedQueries {
		t.Run(tt.query, func(t *testing.T) {
			t.Parallel()
			config := querying(tt.query, "a", "b")
			if err := validate(config); err == nil {
				t.Error("Validate: got no error")
			}
			resp, _, err := callWithConfig(bounded(t), realgateway.URL(t)+"/chat/completions", u, config)
			if err != nil {
				t.Fatal(err)
			}
			want := "config.targets[1]" // the default
			if tt.holds {
				want = "config.targets[0]"
			}
			check(t, "target", resp.Header.Get("X-Portkey-Last-Used-Option-Index"), want)
		})
	}
}

// randomExpression returns a random regular expression, most often an invalid one.
func randomExpression(r *rand.Rand) string {
	pieces := []string{
		"(", ")", "[", "]", "{", "}", "*", "+", "?", "|", "^", "$", ".", "\\", ",", "-", ":", "=", "!", "<", ">",
		"a", "b", "k", "u", "z", "B", "1", "2", "é", "🥇", "(?:", "(?=", "(?!", "(?<=", "(?<!", "(?<n>", "(?i)", "(?i:",
		"(?P<n>", "{1}", "{1,2}", "{2,1}", "{1,}", "{9999999999,9999999998}", `\d`, `\b`, `\x41`, `\u{41}`, `\k<n>`,
		"[a-z]", "[z-a]", "[^", `[\x09-1]`, "*?", "+?",
	}
	var expression strings.Builder
	for range 1 + r.IntN(10) {
		expression.WriteString(pieces[r.IntN(len(pieces))])
	}
	return expression.String()
}

// Validate refuses no expression that JavaScript accepts, and few that it does not are accepted.
func TestRegularExpressionsAreJudgedAsInJavaScript(t *testing.T) {
	t.Parallel()
	realgateway.URL(t) // skips the test if there is no Node.js
	r := random(t)
	expressions := make([]string, 20000)
	for i := range expressions {
		expressions[i] = randomExpression(r)
	}
	const script = `const read = require("fs").readFileSync;
		const compiles = e => { try { new RegExp(e); return true } catch { return false } };
		console.log(JSON.stringify(JSON.parse(read(0, "utf8")).map(compiles)))`
	input, err := json.Marshal(expressions)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(bounded(t), "node", "-e", script)
	cmd.Stdin = bytes.NewReader(input)
	output, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var compiles []bool
	if err := json.Unmarshal(output, &compiles); err != nil || len(compiles) != len(expressions) {
		t.Fatalf("got %d verdicts from node, %v, want %d", len(compiles), err, len(expressions))
	}

	valid, invalid, missed := 0, 0, 0
	for i, expression := range expressions {
		query, err := json.Marshal(map[string]any{"metadata.plan": map[string]string{"$regex": expression}})
		if err != nil {
			t.Fatal(err)
		}
		fault := validate(querying(string(query), "a", "b"))
		switch {
		case compiles[i] && fault != nil:
			t.Errorf("%q: got %v, want no error, as in JavaScript", expression, fault)
		case compiles[i]:
			valid++
		case fault != nil:
			invalid++
		default:
			missed++
		}
	}
	t.Logf("valid: %d, invalid: %d, invalid but accepted: %d", valid, invalid, missed)
	if valid < 1000 || missed*5 > invalid {
		t.Errorf("got %d valid, %d invalid and %d missed, want at least 1000 valid, and at most 20%% missed", valid, invalid, missed)
	}
}

func conditionalForms() (forms []configCase) {
	add := func(kind, text, path string) { forms = append(forms, configCase{kind, text, path}) }
	for _, query := range []string{
		`{"metadata.plan":"paid"}`,
		`{"metadata.plan":{"$eq":"paid"}}`,
		`{"metadata.plan":{"$ne":"free"}}`,
		`{"metadata.n":{"$gt":4}}`,
		`{"metadata.n":{"$gte":"5"}}`,
		`{"metadata.n":{"$lt":6}}`,
		`{"metadata.n":{"$lte":5,"$gt":1}}`,
		`{"metadata.plan":{"$in":["free","paid"]}}`,
		`{"metadata.plan":{"$nin":["free"]}}`,
		`{"metadata.plan":{"$regex":"^p.*d$"}}`,
		`{"params.max_tokens":{"$eq":16}}`,
		`{"params.model":"m1","metadata.plan":{"$in":["paid"]}}`,
		`{"url.pathname":{"$regex":"completions"}}`,
		`{"$and":[{"metadata.plan":"paid"},{"metadata.n":{"$eq":"5"}}]}`,
		`{"$or":[{"metadata.plan":"free"},{"$and":[{"metadata.n":{"$gt":1}},{"params.max_tokens":{"$lt":100}}]}]}`,
		`{"$and":[]}`,
		`{}`,
		`{"metadata.plan":{}}`,
	} {
		add("query", querying(query, "a", "b"), "")
		add("query that does not hold", querying(strings.NewReplacer("paid", "x", "p.*d", "x", "m1", "x").Replace(query), "a", "b"), "")
		add("then that names no target", querying(query, "nobody", "b"), "strategy.conditions[0].then")
	}
	for _, query := range []string{
		`{"metadata.plan":{"$like":"x"}}`,
		`{"metadata.plan":{"eq":"paid"}}`,
		`{"metadata.plan":{"$EQ":"paid"}}`,
		`{"metadata.plan":{"$not":{"$eq":"paid"}}}`,
		`{"metadata.plan":{"$eq":"paid","$exists":true}}`,
		`{"$and":[{"metadata.plan":{"$between":[1,2]}}]}`,
		`{"$or":[{"metadata.plan":"free"},{"metadata.plan":{"$like":"x"}}]}`,
		`{"metadata.plan":["paid"]}`,
		`{"$or":{"metadata.plan":"paid"}}`,
		`{"$and":{"metadata.plan":"paid"}}`,
		`{"metadata.plan":{"$and":[{"$eq":"paid"}]}}`,
	} {
		add("unknown operator", querying(query, "a", "b"), "strategy.conditions[0].query")
	}
	for _, query := range []string{`{"$and":[1]}`, `{"$and":["x"]}`, `{"$or":[["x"]]}`} {
		add("invalid part of a query", querying(query, "a", "b"), "strategy.conditions[0].query")
	}
	add("null in a query", querying(`{"$or":[null]}`, "a", "b"), "strategy.conditions[0].query.$or[0]")
	for _, query := range []string{`{"metadata.plan":null}`, `{"metadata.plan":[]}`, `{"metadata.plan":{"$gt":true}}`} {
		add("odd query", querying(query, "a", "b"), "")
	}
	for _, q := range unevaluatedQueries {
		add("query not evaluated as written", querying(q.query, "a", "b"), "strategy.conditions[0].query")
	}
	add("default that names no target", querying(`{"metadata.plan":"free"}`, "a", "nobody"), "strategy.default")
	add("default that names no target", querying(`{"metadata.plan":"free"}`, "a", ""), "strategy.default")
	add("default that is not reached", querying(`{"metadata.plan":"paid"}`, "a", "nobody"), "strategy.default")
	add("condition that is not reached", querying(`{"metadata.plan":"free"}`, "nobody", "b"), "strategy.conditions[0].then")
	add("condition that is not reached", querying(`{"metadata.n":"0","metadata.plan":{"$like":"x"}}`, "a", "b"), "strategy.conditions[0].query")
	add("conditional without default", `{"strategy":{"mode":"conditional","conditions":[`+paid+`]},"targets":[`+someTarget+`]}`, "strategy.default")
	add("conditional without conditions", `{"strategy":{`+conditional+`},"targets":[`+someTarget+`]}`, "strategy.conditions")
	add("conditional of no conditions", `{"strategy":{`+conditional+`,"conditions":[]},"targets":[`+someTarget+`]}`, "")
	add("conditional without targets", `{"strategy":{`+conditional+`,"conditions":[`+paid+`]},"targets":[]}`, "strategy.")
	add("conditional of targets without names", `{"strategy":{`+conditional+`,"conditions":[`+paid+`]},"targets":[{"provider":"openai","api_key":"k"}]}`, "strategy.")
	add("condition without then", `{"strategy":{`+conditional+`,"conditions":[{"query":{}}]},"targets":[`+someTarget+`]}`, "strategy.conditions[0].then")
	add("condition without query", `{"strategy":{`+conditional+`,"conditions":[{"then":"a"}]},"targets":[`+someTarget+`]}`, "strategy.conditions[0].query")
	add("conditional that is not reached", `{"strategy":{"mode":"fallback"},"targets":[`+someTarget+`,`+
		querying(`{"metadata.plan":"paid"}`, "nobody", "b")+`]}`, "targets[1].strategy.conditions[0].then")
	return forms
}

// atDepths returns a part of a config as the config, as a target and as a target
// of a target. A member that is not complete alone is added to a provider and its key.
func atDepths(c configCase) []configCase {
	text := c.standalone()
	in := func(prefix, format string) configCase {
		return configCase{c.kind, fmt.Sprintf(format, text), c.pathIn(prefix)}
	}
	return []configCase{
		in("", `%s`),
		in("targets[0]", `{"strategy":{"mode":"fallback"},"targets":[%s]}`),
		in("targets[0].targets[0]", `{"strategy":{"mode":"loadbalance"},"targets":[{"strategy":{"mode":"single"},"targets":[%s]}]}`),
	}
}

// standalone returns a part of a config as a config.
func (c configCase) standalone() string {
	var part map[string]any
	if err := json.Unmarshal([]byte(c.text), &part); err != nil {
		panic(fmt.Sprintf("%s: %v", c.text, err))
	}
	if _, ok := part["strategy"]; !ok && !strings.HasPrefix(c.kind, "target") {
		whole := map[string]any{"provider": "openai", "api_key": "k1"}
		maps.Copy(whole, part)
		part = whole
	}
	text, err := json.Marshal(part)
	if err != nil {
		panic(err)
	}
	return string(text)
}

// pathIn returns the path of the fault of a part that is at prefix. A fault that
// begins with "<" is that of the part itself.
func (c configCase) pathIn(prefix string) string {
	fault, whole := strings.CutPrefix(c.path, "<")
	switch {
	case whole && prefix == "":
		return "the config " + fault
	case whole:
		return prefix + " " + fault
	case prefix == "" || fault == "":
		return fault
	}
	return prefix + "." + fault
}

// generateConfigCases returns every key of every type but its own, configForms and
// conditionalForms, all at several depths, and random trees of all that.
func generateConfigCases(r *rand.Rand) (cases []configCase) {
	var parts []configCase
	for _, tmpl := range configTemplates {
		for _, wrong := range wrongValues[tmpl.kind] {
			parts = append(parts, configCase{"not " + tmpl.kind, fmt.Sprintf(tmpl.text, wrong), tmpl.path})
		}
	}
	parts = append(append(parts, configForms...), conditionalForms()...)
	for _, p := range parts {
		cases = append(cases, atDepths(p)...)
	}
	for _, text := range []string{`[]`, `null`, `1`, `true`, `[{"provider":"openai"}]`} {
		cases = append(cases, configCase{"not a config", text, ""})
	}
	cases = append(cases,
		configCase{"old config", `{"provider":"openai","api_key":"k","options":[{"provider":"openai"}]}`, "options"},
		configCase{"old config", `{"strategy":{"mode":"single"},"targets":[` + someTarget + `],"options":{}}`, "options"},
	)

	var valid, broken []configCase
	for _, p := range parts {
		_, differs := configDifferences[p.kind]
		reached := !strings.HasPrefix(p.kind, "not ") && !strings.HasPrefix(p.kind, "bad ")
		switch {
		case differs || p.kind == "target of no provider": // a tree's call may not reach it
		case p.path == "" && reached:
			valid = append(valid, p)
		case !reached: // found before the call, wherever it is
			broken = append(broken, p)
		}
	}
	for range 100 {
		text, _ := randomTree(r, 2, valid, nil)
		cases = append(cases, configCase{"tree", text, ""})
		text, path := randomTree(r, 2, valid, &broken[r.IntN(len(broken))])
		cases = append(cases, configCase{"tree with one fault", text, path})
	}
	r.Shuffle(len(cases), func(i, j int) { cases[i], cases[j] = cases[j], cases[i] })
	return cases
}

// randomTree returns a config of valid parts, and of one that has a fault, with
// the path of that.
func randomTree(r *rand.Rand, depth int, valid []configCase, fault *configCase) (text, path string) {
	if depth == 0 || r.IntN(4) == 0 {
		part := valid[r.IntN(len(valid))]
		if fault != nil {
			part = *fault
		}
		return part.standalone(), part.path
	}
	targets := make([]string, 1+r.IntN(3))
	broken := r.IntN(len(targets))
	for i := range targets {
		if i != broken || fault == nil {
			targets[i], _ = randomTree(r, depth-1, valid, nil)
			continue
		}
		targets[i], path = randomTree(r, depth-1, valid, fault)
		path = fmt.Sprintf("targets[%d].%s", i, path)
	}
	mode := []string{"single", "fallback", "loadbalance"}[r.IntN(3)]
	more := []string{"", `,"cache":{"mode":"simple"}`, `,"retry":{"attempts":1}`, `,"request_timeout":60000`}[r.IntN(4)]
	return fmt.Sprintf(`{"strategy":{"mode":%q},"targets":[%s]%s}`, mode, strings.Join(targets, ","), more), path
}

// unanswered are configs that the gateway cannot be asked about: it finds no
// target, and then never answers the call, or ends itself.
var unanswered = []string{
	`{"strategy":{"mode":"fallback"},"targets":[]}`,
	`{"strategy":{"mode":"loadbalance"},"targets":[]}`,
	`{"strategy":{"mode":"loadbalance"},"targets":[{"provider":"openai","api_key":"k","weight":0}]}`,
}

func TestValidateRefusesWhatTheGatewayDoesNotAnswer(t *testing.T) {
	t.Parallel()
	for _, config := range unanswered {
		if err := validate(config); err == nil || !strings.Contains(err.Error(), "targets") {
			t.Errorf("%s: got %v, want an error that names the targets", config, err)
		}
	}
}

// A config that is decoded and encoded again is equal, even if it is invalid.
func TestConfigObjectRoundTrips(t *testing.T) {
	t.Parallel()
	for _, c := range generateConfigCases(random(t)) {
		var object portkey.ConfigObject
		if json.Unmarshal([]byte(c.text), &object) != nil {
			continue // it is not an object at all
		}
		text, err := json.Marshal(object)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		checkJSON(t, c.text, text, c.text)
	}
}

// Text of any language arrives as it was, and decides.
func TestConfigObjectAndMetadataInAnyLanguage(t *testing.T) {
	t.Parallel()
	const text = "gôld 金 🥇"
	u := newUpstream(t, nil)
	client := rerouted(t, portkey.Headers{CustomHost: u.URL + "/v1", Config: portkey.ConfigObject{
		Strategy: &portkey.Strategy{Mode: portkey.ModeConditional, Default: "rest", Conditions: []portkey.Condition{
			{Query: portkey.Query{"metadata.tier": portkey.Query{"$eq": text}}, Then: "best"},
		}},
		Targets: []portkey.ConfigObject{
			{Name: "rest", Provider: "openai", APIKey: "k-rest"},
			{Name: "best", Provider: "openai", APIKey: "k-best", OverrideParams: map[string]any{"user": text}},
		},
	}})

	chat(t, bounded(t), client, "m1")
	chat(t, portkey.WithMetadata(bounded(t), portkey.Metadata{"tier": text}), client, "m1")

	all := u.requests()
	check(t, "requests upstream", len(all), 2)
	all[0].checkHeader(t, "Authorization", "Bearer k-rest")
	all[1].checkHeader(t, "Authorization", "Bearer k-best")
	var body struct{ User string }
	if err := json.Unmarshal(all[1].Body, &body); err != nil {
		t.Fatal(err)
	}
	check(t, "overridden parameter upstream", body.User, text)
}

func TestAzureNamesThatTheGatewayReads(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, path, version string // upstream
		config              portkey.ConfigObject
	}{
		{"names of the schema", "/v1/deployments/dep/chat/completions", "2024-10-21", portkey.ConfigObject{
			Provider: "azure-openai", APIKey: "k1", ResourceName: "res", DeploymentID: "dep", APIVersion: "2024-10-21",
		}},
		{"names of the headers", "/v1/deployments/undefined/chat/completions", "", portkey.ConfigObject{
			Provider: "azure-openai", APIKey: "k1", AzureResourceName: "res", AzureDeploymentID: "dep", AzureAPIVersion: "2024-10-21",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u := newUpstream(t, nil)
			chat(t, bounded(t), rerouted(t, portkey.Headers{CustomHost: u.URL + "/v1", Config: tt.config}), "m1")
			got := u.only(t)
			check(t, "path", got.Path, tt.path)
			check(t, "api-version", got.Query.Get("api-version"), tt.version)
		})
	}
}

func TestGatewayIgnoresDefaultAndDropParams(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	chat(t, bounded(t), rerouted(t, portkey.Headers{CustomHost: u.URL + "/v1", Config: portkey.ConfigObject{
		Provider: "openai", APIKey: "k1",
		DefaultParams: map[string]any{"user": "default"}, OverrideParams: map[string]any{"seed": 7}, DropParams: []string{"seed"},
	}}), "m1")
	var body map[string]any
	if err := json.Unmarshal(u.only(t).Body, &body); err != nil {
		t.Fatal(err)
	}
	check(t, "user", body["user"], nil)
	check(t, "seed", body["seed"], any(7.0))
}

func TestGatewayHasNoCache(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	client := rerouted(t, portkey.Headers{CustomHost: u.URL + "/v1", Config: portkey.ConfigObject{
		Provider: "openai", APIKey: "k1", Cache: &portkey.Cache{Mode: portkey.CacheSimple},
	}})
	for range 2 {
		var info portkey.ResponseInfo
		chat(t, portkey.WithResponseInfo(bounded(t), &info), client, "m1")
		check(t, "cache status", info.CacheStatus, portkey.CacheDisabled)
	}
	check(t, "requests upstream", len(u.requests()), 2)
}

func TestHookResultsInStreamsNeedComplianceToBeOff(t *testing.T) {
	t.Parallel()
	u := newUpstream(t, nil)
	for _, tt := range []struct {
		name           string
		header, config *bool
		stream, want   bool
	}{
		{"not set", nil, nil, true, false},
		{"on", portkey.Ptr(true), nil, true, false},
		{"off", portkey.Ptr(false), nil, true, true},
		{"off in the config", portkey.Ptr(true), portkey.Ptr(false), true, true},
		{"no stream", nil, nil, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			config := portkey.ConfigObject{
				Provider: "openai", APIKey: "k1", StrictOpenAICompliance: tt.config,
				InputGuardrails: []any{map[string]any{"default.contains": map[string]any{"operator": "none", "words": []string{"x"}}}},
			}
			client, err := portkey.WrapClient(nil, portkey.Options{BaseURL: realgateway.URL(t), Headers: portkey.Headers{
				CustomHost: u.URL + "/v1", Config: config, StrictOpenAICompliance: tt.header,
			}})
			if err != nil {
				t.Fatal(err)
			}
			req, err := http.NewRequestWithContext(bounded(t), http.MethodPost, "https://api.openai.com/v1/chat/completions",
				strings.NewReader(fmt.Sprintf(`{"model":"m1","stream":%t,"messages":[{"role":"user","content":"hi"}]}`, tt.stream)))
			if err != nil {
				t.Fatal(err)
			}
			req.Header.Set("Content-Type", "application/json")
			resp, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			body, err := io.ReadAll(resp.Body)
			if err != nil {
				t.Fatal(err)
			}
			check(t, "status", resp.StatusCode, http.StatusOK)
			check(t, "hook_results in the response", strings.Contains(string(body), "hook_results"), tt.want)
		})
	}
}

func TestValidateJudgesAsTheGatewayDoes(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	u := newUpstream(t, nil)
	url := realgateway.URL(t) + "/chat/completions"
	cases := generateConfigCases(random(t))
	if len(cases) < 300 {
		t.Errorf("cases: got %d, want 300 at least", len(cases))
	}

	var mu sync.Mutex
	used := make(map[string]int)
	counts := make(map[string]int)
	inParallel(len(cases), func(i int) {
		c := cases[i]
		refusal, err := judge(ctx, url, u, c.text)
		if err != nil {
			t.Errorf("%s, %s: %v", c.kind, c.text, err)
			return
		}
		fault := validate(c.text)

		mu.Lock()
		defer mu.Unlock()
		by := ""
		switch {
		case refusal != "" && fault == nil:
			by = "gateway"
		case refusal == "" && fault != nil:
			by = "Validate"
		case fault != nil:
			counts["refused"]++
		default:
			counts["accepted"]++
		}
		if by != "" {
			counts["differ"]++
			if configDifferences[c.kind].refusedBy == by {
				used[c.kind]++
			} else {
				t.Errorf("%s, %s: got %v from Validate, and %q from the gateway, want the same verdict", c.kind, c.text, fault, refusal)
			}
		}
		if fault != nil && !strings.Contains(fault.Error(), c.path) {
			t.Errorf("%s, %s: got %q, want %q in it", c.kind, c.text, fault, c.path)
		}
	})
	t.Logf("%d cases: %v", len(cases), counts)
	for _, kind := range slices.Sorted(maps.Keys(configDifferences)) {
		if d := configDifferences[kind]; used[kind] == 0 {
			t.Errorf("%s: both judge it alike, but it is listed as refused by %s (%s)", kind, d.refusedBy, d.reason)
		}
	}
}

// callWithConfig sends a call with a config to the gateway.
func callWithConfig(ctx context.Context, url string, u *upstream, config string) (resp *http.Response, body []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"model":"m1","max_tokens":16,`+
		`"response_format":{"type":"json_object"},"messages":[{"role":"user","content":"hi"}]}`))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+clientKey)
	req.Header.Set("X-Plan", "paid")
	req.Header.Set("X-Portkey-Provider", "openai")
	req.Header.Set("X-Portkey-Custom-Host", u.URL+"/v1")
	req.Header.Set("X-Portkey-Metadata", `{"plan":"paid","n":"5","user":{"plan":"paid"},"user.plan":"paid"}`)
	req.Header.Set("X-Portkey-Config", config)
	if resp, err = http.DefaultClient.Do(req); err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err = io.ReadAll(resp.Body)
	return resp, body, err
}

// judge sends a config to the gateway, and returns how that refuses it, if it does.
func judge(ctx context.Context, url string, u *upstream, config string) (refusal string, err error) {
	resp, body, err := callWithConfig(ctx, url, u, config)
	if err != nil {
		return "", err
	}
	var answer struct{ Status, Message string }
	json.Unmarshal(body, &answer)
	last := resp.Header.Get("X-Portkey-Last-Used-Option-Index")
	switch {
	case resp.StatusCode == http.StatusBadRequest && answer.Status == "failure" && last == "",
		resp.StatusCode == http.StatusInternalServerError && (answer.Status == "failure" || resp.Header.Get("X-Portkey-Gateway-Exception") == "true"):
		return string(body), nil
	case last != "":
		return "", nil
	}
	return "", fmt.Errorf("got %s, %v, %s from the gateway, which is no verdict", resp.Status, resp.Header, body)
}

// validate says why the library refuses a config.
func validate(config string) error {
	var object portkey.ConfigObject
	if err := json.Unmarshal([]byte(config), &object); err != nil {
		return err
	}
	return object.Validate()
}

// inParallel calls f with 0 to n-1.
func inParallel(n int, f func(i int)) {
	next := make(chan int)
	var wg sync.WaitGroup
	for range 2 * runtime.GOMAXPROCS(0) {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i := range next {
				f(i)
			}
		}()
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// A guardrail of a config is told the metadata.
func TestMetadataArrivesIntact(t *testing.T) {
	t.Parallel()
	const text = "Zoë gôld 金 🥇 \u0080\u2028 \"\\\n"
	u := newUpstream(t, nil)
	hook := newUpstream(t, reply(http.StatusOK, `{"verdict":true}`))
	client := rerouted(t, portkey.Headers{
		CustomHost: u.URL + "/v1",
		Metadata:   portkey.Metadata{"_user": text, text: "x"},
		Config: portkey.ConfigObject{
			Provider: "openai", APIKey: "k1",
			InputGuardrails: []any{map[string]any{"default.webhook": map[string]any{"webhookURL": hook.URL}, "deny": true}},
		},
	})

	chat(t, bounded(t), client, "m1")

	u.only(t)
	told := hook.only(t)
	var body struct{ Metadata map[string]string }
	if err := json.Unmarshal(told.Body, &body); err != nil {
		t.Fatal(err)
	}
	check(t, "metadata", fmt.Sprintf("%q", body.Metadata), fmt.Sprintf("%q", map[string]string{"_user": text, text: "x"}))
}
