package configcheck

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
)

func decode(t *testing.T, text string) (config map[string]any) {
	t.Helper()
	if err := json.Unmarshal([]byte(text), &config); err != nil {
		t.Fatal(err)
	}
	return config
}

func TestValidConfigs(t *testing.T) {
	t.Parallel()
	for _, config := range []string{
		`{"provider":"openai","api_key":"k"}`,
		`{"provider":"@slug"}`,
		`{"provider":"newcomer","api_key":"k"}`,
		`{"virtual_key":"vk"}`,
		`{"retry":{"attempts":0}}`,
		`{"cache":{"mode":"simple","max_age":60}}`,
		`{"input_guardrails":["g-1"],"output_guardrails":[{"default.contains":{}}]}`,
		`{"provider":"vertex-ai","vertex_region":"r","vertex_service_account_json":{"a":"b"}}`,
		`{"strategy":{"mode":"loadbalance"},"targets":[{"virtual_key":"vk","weight":0},{"virtual_key":"vk"}]}`,
		`{"strategy":{"mode":"conditional","conditions":[{"query":{"$or":[{"metadata.a":"b"},{"params.n":{"$gt":1}}]},"then":"a"}],"default":"a"},` +
			`"targets":[{"name":"a","strategy":{"mode":"fallback"},"targets":[{"virtual_key":"vk"}]}]}`,
		`{"virtual_key":"vk","newer_key":{"a":[1]}}`,
		`{"input_guardrails":["g-1",{"id":"g-2"}]}`,
		`{"provider":"vertex-ai","vertex_region":"r","vertex_service_account_json":{"a":{"b":1}}}`,
		`{"passthrough":true}`,
		`{"default_params":{"top_p":0.9}}`,
		`{"drop_params":["tools[*].function.strict"]}`,
		`{"fetch_integrated_models":true,"targets":[{"provider":"@a"},{"provider":"@b"}]}`,
		`{"strategy":{"mode":"loadbalance","sticky":{"enabled":true,"hash_fields":["metadata.u"],"ttl":60}},` +
			`"targets":[{"passthrough":true},{"virtual_key":"vk"}]}`,
	} {
		t.Run(config, func(t *testing.T) {
			if faults := CheckAll(decode(t, config)); len(faults) > 0 {
				t.Errorf("got %v, want no faults", faults)
			}
		})
	}
}

func TestFaults(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name, config string
		want         []string // how each fault begins
	}{
		{"nothing", `{}`, []string{"the config needs"}},
		{"incomplete", `{"provider":"openai"}`, []string{"the config needs"}},
		{"types", `{"virtual_key":"vk","api_key":1,"weight":"1","strict_open_ai_compliance":"false","forward_headers":"a","cache":[]}`, []string{
			"api_key must be a string", "cache must be an object", "forward_headers must be a list",
			"strict_open_ai_compliance must be true or false", "weight must be a number"}},
		{"guardrails of neither kind", `{"input_guardrails":["a",1]}`, []string{"input_guardrails[1] must be"}},
		{"provider in upper case", `{"provider":"OpenAI","api_key":"k"}`, []string{"provider must be a provider's name"}},
		{"custom host", `{"virtual_key":"vk","custom_host":"ftp://x"}`, []string{"custom_host must start with"}},
		{"long custom host", `{"virtual_key":"vk","custom_host":"http://x/` + strings.Repeat("a", 2048) + `"}`, []string{"custom_host is longer"}},
		{"nested target", `{"strategy":{"mode":"fallback"},"targets":[{"virtual_key":"vk"},{"strategy":{"mode":"Fallback"},"targets":[{"weight":1},null]}]}`, []string{
			"targets[1].strategy.mode must be one of single, loadbalance, fallback, conditional", "targets[1].targets[0] needs", "targets[1].targets[1] must be an object"}},
		{"target without a provider", `{"strategy":{"mode":"fallback"},"targets":[{"retry":{"attempts":1}}]}`, []string{"targets[0] names no provider"}},
		{"target that passes nothing through", `{"strategy":{"mode":"fallback"},"targets":[{"passthrough":false}]}`, []string{"targets[0] names no provider"}},
		{"types of keys that only the hosted gateway knows", `{"passthrough":1,"fetch_integrated_models":"true","deployments":[{"alias":1}],` +
			`"strategy":{"mode":"loadbalance","sticky":{"enabled":"yes","hash_fields":"metadata.u","ttl":"1h"},"cb_config":[]},"targets":[{"virtual_key":"vk"}]}`, []string{
			"deployments[0].deployment_id is missing", "deployments[0].api_version is missing", "deployments[0].alias must be a string",
			"fetch_integrated_models must be true or false", "passthrough must be true or false", "strategy.cb_config must be an object",
			"strategy.sticky.enabled must be", "strategy.sticky.hash_fields must be a list", "strategy.sticky.ttl must be a number"}},
		{"no targets", `{"strategy":{"mode":"fallback"},"targets":[]}`, []string{"targets must not be empty"}},
		{"no weight", `{"strategy":{"mode":"loadbalance"},"targets":[{"virtual_key":"vk","weight":0}]}`, []string{"targets must not all have weight 0"}},
		{"vertex-ai", `{"provider":"vertex-ai","api_key":"k"}`, []string{"provider vertex-ai needs"}},
		{"conditions", `{"strategy":{"mode":"conditional","default":"b","conditions":[{"query":{"$and":[{"params.x":{"$like":1}}]},"then":"c"},{"query":{"a":["b"]},"then":"a"},{"then":"a"}]},"targets":[{"name":"a","virtual_key":"vk"}]}`, []string{
			"strategy.conditions[0].query.$and[0] has an unknown operator", "strategy.conditions[1].query compares with a list", "strategy.conditions[2].query is missing",
			"strategy.conditions[0].then is not the name", "strategy.default is not the name"}},
		{"no conditions", `{"strategy":{"mode":"conditional","default":"a"},"targets":[{"name":"a","virtual_key":"vk"}]}`, []string{"strategy.conditions is missing"}},
		{"old format", `{"virtual_key":"vk","options":[]}`, []string{"options belongs to"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			for _, f := range Check(decode(t, tt.config)) {
				got = append(got, f.String())
			}
			if !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// checkQueryText returns the faults that only CheckAll finds in a query.
func checkQueryText(t *testing.T, query string) (reasons []string) {
	t.Helper()
	const rest = `,"then":"a"}],"default":"a"},"targets":[{"name":"a","virtual_key":"vk"}]}`
	config := decode(t, `{"strategy":{"mode":"conditional","conditions":[{"query":`+query+rest)
	if faults := Check(config); len(faults) > 0 {
		t.Errorf("Check: got %v, want no faults: the gateway accepts it", faults)
	}
	for _, f := range CheckAll(config) {
		reasons = append(reasons, strings.TrimPrefix(f.String(), "strategy.conditions[0].query"))
	}
	return reasons
}

func TestQueriesThatTheGatewayDoesNotEvaluateAsWritten(t *testing.T) {
	t.Parallel()
	const unknown, nested, beside = " has an unknown key", " has a nested key", " has keys beside"
	for _, tt := range []struct {
		query string
		want  []string // how each fault begins
	}{
		{`{"metadata.a":"b"}`, nil},
		{`{"params.max_tokens":{"$gt":5},"url.pathname":{"$regex":"^/v1"}}`, nil},
		{`{"$or":[{"metadata.a":"b"},{"$and":[{"params.n":1},{"url.pathname":"/"}]}]}`, nil},
		{`{"metadata.a":{"$in":["b"],"$nin":[]}}`, nil},
		{`{"metadata.a.b":{"$eq":true}}`, nil}, // in older documentation

		{`{"metadata.a.b":"c"}`, []string{nested}},
		{`{"metadata.a.b":{"$ne":true}}`, []string{nested}},
		{`{"metadata.a.b":{"$eq":true,"$ne":"c"}}`, []string{nested}},
		{`{"params.response_format.type":{"$eq":"text"}}`, []string{nested}},
		{`{"headers.x":"a","metadata.a":"b","plan":"c"}`, []string{unknown, unknown}},
		{`{"metadata":"a"}`, []string{unknown}},
		{`{"metadata.":"a"}`, []string{unknown}},
		{`{"url.host":"a"}`, []string{unknown}},
		{`{"url.pathname.a":"b"}`, []string{unknown}},
		{`{"Metadata.a":"b"}`, []string{unknown}},
		{`{"":"b"}`, []string{unknown}},
		{`{"$nor":"a"}`, []string{unknown}},
		{`{"$or":[{"metadata.a":"b"}],"metadata.c":"d"}`, []string{beside}},
		{`{"$and":[{"metadata.a":"b"}],"$or":[]}`, []string{beside}},
		{`{"$and":[{"$or":[{"plan":"a"}],"params.n":1}]}`, []string{".$and[0].$or[0]" + unknown, ".$and[0]" + beside}},
		{`{"$or":"a","$and":null}`, []string{".$and must be a list", ".$or must be a list"}},
		{`{"metadata.a":{"$in":"b","$nin":{}}}`, []string{" needs a list for $in", " needs a list for $nin"}},
		{`{"metadata.a":{"$regex":"(?i:a)(?<n>b)|(?<n>c)"}}`, nil}, // in newer versions
		{`{"metadata.a":{"$regex":"(?i)a"}}`, []string{" has a $regex that is not valid in JavaScript"}},
		{`{"metadata.a":{"$regex":"("}}`, []string{" has a $regex that is not valid in JavaScript"}},
	} {
		t.Run(tt.query, func(t *testing.T) {
			if got := checkQueryText(t, tt.query); !slices.EqualFunc(got, tt.want, strings.HasPrefix) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestNamesProvider(t *testing.T) {
	t.Parallel()
	for config, want := range map[string]bool{
		`{"provider":"openai"}`:                    true,
		`{"provider":""}`:                          false,
		`{"targets":[]}`:                           true,
		`{"virtual_key":"vk"}`:                     true,
		`{"prompt_id":"pp-1"}`:                     true,
		`{"override_params":{"model":"@slug/m"}}`:  true,
		`{"override_params":{"model":"gpt-4o"}}`:   false,
		`{"retry":{"attempts":1},"api_key":"k"}`:   false,
		`{"cache":{"mode":"simple"},"targets":{}}`: true,
	} {
		t.Run(config, func(t *testing.T) {
			if got := NamesProvider(decode(t, config)); got != want {
				t.Errorf("got %t, want %t", got, want)
			}
		})
	}
}

func TestCheckCustomHostDoesNotShowTheHost(t *testing.T) {
	t.Parallel()
	if err := CheckCustomHost("https://llm.example.com/v1"); err != nil {
		t.Error(err)
	}
	for _, host := range []string{"SECRET", "https://u:SECRET@x", "https://x?SECRET", "https://" + strings.Repeat("SECRET", 400)} {
		t.Run(host[:min(len(host), 20)], func(t *testing.T) {
			if err := CheckCustomHost(host); err == nil || strings.Contains(err.Error(), "SECRET") {
				t.Errorf("got %v, want an error without the host", err)
			}
		})
	}
}

// No config makes CheckAll panic, and the same config has the same faults each time.
func FuzzCheck(f *testing.F) {
	f.Add(`{"strategy":{"mode":"conditional","conditions":[{"query":{"$and":[{"a":{"$in":[1]}}]},"then":"a"}],"default":"a"},"targets":[{"name":"a"}]}`)
	f.Add(`{"strategy":{"mode":"single","conditions":[{"query":{"metadata.a":{"$regex":"(?<a>[^z-a\\]{2,1}?"}},"then":"a"}]},"targets":[{}]}`)
	f.Add(`{"provider":"vertex-ai","input_guardrails":["a",{}],"custom_host":"x","override_params":{"model":"@a"}}`)
	f.Fuzz(func(t *testing.T, text string) {
		var config map[string]any
		if json.Unmarshal([]byte(text), &config) != nil {
			return
		}
		NamesProvider(config)
		if got, again := CheckAll(config), CheckAll(config); !slices.Equal(got, again) {
			t.Errorf("got %v, then %v", got, again)
		}
	})
}

func TestForwardedPortkeyHeaderIsAFault(t *testing.T) {
	t.Parallel()
	config := decode(t, `{"strategy":{"mode":"single"},"targets":[{"virtual_key":"vk","forward_headers":["x-tenant","X-Portkey-Api-Key"]}]}`)
	if got := CheckAll(config); len(got) != 1 || !strings.HasPrefix(got[0].String(), "targets[0].forward_headers[1] must not name") {
		t.Errorf("got %v, want one fault of targets[0].forward_headers[1]", got)
	}
	if got := Check(config); len(got) > 0 {
		t.Errorf("the gateway accepts it, and Check returns %v", got)
	}
}
