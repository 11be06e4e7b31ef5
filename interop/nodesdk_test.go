package interop

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
	"github.com/portkey-go/portkey/interop/internal/realgateway"
)

// A nodeParam is a parameter that the official Node SDK types.
type nodeParam struct {
	name   string
	values []nodeValue                   // that have to be tried
	random func(r *rand.Rand) *nodeValue // one more; nil if values are all there are
}

// A nodeValue is a parameter's value, for either library.
type nodeValue struct {
	node any                      // as JSON
	set  func(h *portkey.Headers) // nil: this library has no such parameter
}

// nodeParams are all parameters that the Node SDK types.
var nodeParams = []nodeParam{
	textParam("apiKey", func(h *portkey.Headers) *string { return &h.APIKey }),
	unshipped("baseURL", "https://portkey.example.com/v1", "http://127.0.0.1:8787/v1"),
	textParam("virtualKey", func(h *portkey.Headers) *string { return &h.VirtualKey }),
	configParam("config"),
	textParam("provider", func(h *portkey.Headers) *string { return &h.Provider }, "openai", "@openai-prod", "azure-openai"),
	textParam("traceID", func(h *portkey.Headers) *string { return &h.TraceID }),
	metadataParam("metadata"),
	textParam("Authorization", func(h *portkey.Headers) *string { return &h.Authorization }, "Bearer sk-1", "Bearer sk-2", "Basic dTpw"),
	flagParam("cacheForceRefresh", func(h *portkey.Headers) **bool { return &h.CacheForceRefresh }),
	flagParam("debug", func(h *portkey.Headers) **bool { return &h.Debug }),
	{name: "customHost", values: texts(func(h *portkey.Headers) *string { return &h.CustomHost },
		"https://llm.example.com/v1", "http://127.0.0.1:11434", "https://llm.example.com:8443/a/b/")},
	textParam("openaiProject", func(h *portkey.Headers) *string { return &h.OpenAI.Project }),
	textParam("openaiOrganization", func(h *portkey.Headers) *string { return &h.OpenAI.Organization }),
	textParam("awsSecretAccessKey", func(h *portkey.Headers) *string { return &h.AWS.SecretAccessKey }),
	textParam("awsAccessKeyId", func(h *portkey.Headers) *string { return &h.AWS.AccessKeyID }),
	textParam("awsSessionToken", func(h *portkey.Headers) *string { return &h.AWS.SessionToken }),
	textParam("awsRegion", func(h *portkey.Headers) *string { return &h.AWS.Region }),
	textParam("vertexProjectId", func(h *portkey.Headers) *string { return &h.Vertex.ProjectID }),
	textParam("vertexRegion", func(h *portkey.Headers) *string { return &h.Vertex.Region }),
	textParam("workersAiAccountId", func(h *portkey.Headers) *string { return &h.WorkersAI.AccountID }),
	textParam("azureResourceName", func(h *portkey.Headers) *string { return &h.Azure.ResourceName }),
	textParam("azureDeploymentId", func(h *portkey.Headers) *string { return &h.Azure.DeploymentID }),
	textParam("azureApiVersion", func(h *portkey.Headers) *string { return &h.Azure.APIVersion }),
	textParam("azureEndpointName", func(h *portkey.Headers) *string { return &h.Azure.EndpointName }),
	textParam("huggingfaceBaseUrl", func(h *portkey.Headers) *string { return &h.HuggingFace.BaseURL }),
	listParam("forwardHeaders", func(h *portkey.Headers) *[]string { return &h.ForwardHeaders },
		[]string{"X-Tenant"}, []string{"X-Tenant", "x-request-id", "Accept-Language"}, []string{}, []string{"X-Tenant", "provider"}),
	textParam("cacheNamespace", func(h *portkey.Headers) *string { return &h.CacheNamespace }),
	timeoutParam("requestTimeout"),
	flagParam("strictOpenAiCompliance", func(h *portkey.Headers) **bool { return &h.StrictOpenAICompliance }),
	textParam("anthropicBeta", func(h *portkey.Headers) *string { return &h.Anthropic.Beta }, "beta-1", "beta-1,beta-2"),
	textParam("anthropicVersion", func(h *portkey.Headers) *string { return &h.Anthropic.Version }),
	{name: "mistralFimCompletion", values: []nodeValue{ // text there
		{"true", func(h *portkey.Headers) { h.Mistral.FIMCompletion = portkey.Ptr(true) }},
		{"false", func(h *portkey.Headers) { h.Mistral.FIMCompletion = portkey.Ptr(false) }},
	}},
	unshipped("dangerouslyAllowBrowser", true, false),
	textParam("vertexStorageBucketName", func(h *portkey.Headers) *string { return &h.Vertex.StorageBucketName }),
	textParam("providerFileName", func(h *portkey.Headers) *string { return &h.Files.ProviderFileName }),
	textParam("providerModel", func(h *portkey.Headers) *string { return &h.Files.ProviderModel }),
	textParam("awsS3Bucket", func(h *portkey.Headers) *string { return &h.AWS.S3Bucket }),
	textParam("awsS3ObjectKey", func(h *portkey.Headers) *string { return &h.AWS.S3ObjectKey }),
	textParam("awsBedrockModel", func(h *portkey.Headers) *string { return &h.AWS.BedrockModel }),
	textParam("fireworksAccountId", func(h *portkey.Headers) *string { return &h.Fireworks.AccountID }),
	unshipped("calculateAudioDuration", true, false),
}

// A headerPair is one header as the two libraries send it.
type headerPair struct {
	name string
	node any    // text or a json.Number; nil if it is not sent
	ours string // "" if it is not sent
}

// nodeDifferences are the headers that the two libraries do not make alike, on
// purpose. The first one that holds is why.
var nodeDifferences = []struct {
	reason string
	holds  func(p headerPair) bool
}{
	{"cache-force-refresh false is not sent: the gateway refreshes as soon as the header is there",
		func(p headerPair) bool {
			return p.name == "x-portkey-cache-force-refresh" && p.node == "false" && p.ours == ""
		}},
	{"no timeout is no header, and not an empty one",
		func(p headerPair) bool {
			return p.name == "x-portkey-request-timeout" && p.node == "" && p.ours == ""
		}},
	{"a timeout is a number of milliseconds there, and a time.Duration here",
		func(p headerPair) bool {
			return p.name == "x-portkey-request-timeout" && p.node == json.Number(p.ours)
		}},
	{"a timeout is rounded up to whole milliseconds",
		func(p headerPair) bool {
			ms, isNumber := p.node.(json.Number)
			f, err := ms.Float64()
			n, _ := strconv.Atoi(p.ours)
			return p.name == "x-portkey-request-timeout" && isNumber && err == nil && f < float64(n) && float64(n) < f+1
		}},
	{"JSON is escaped to ASCII: the gateway reads a header's bytes as Latin-1, and fetch takes no others",
		func(p headerPair) bool { return isJSONHeader(p) && !isASCII(p.node.(string)) && sameJSON(p) }},
	{"JSON is compact, and an object's keys are sorted, so that equal values are equal headers",
		func(p headerPair) bool { return isJSONHeader(p) && isASCII(p.node.(string)) && sameJSON(p) }},
	{"a parameter keeps its prefix, also when a header of that name is forwarded",
		func(p headerPair) bool { return p.name == "x-portkey-provider" && p.node == nil && p.ours != "" }},
	{"baseURL is where the SDK sends its requests; the header is an artefact that nobody reads",
		func(p headerPair) bool { return p.name == "x-portkey-base-u-r-l" && p.ours == "" }},
	{"dangerouslyAllowBrowser is a switch of the SDK; the header is an artefact that nobody reads",
		func(p headerPair) bool { return p.name == "x-portkey-dangerously-allow-browser" && p.ours == "" }},
	{"calculateAudioDuration is a switch of the SDK; the header is an artefact that nobody reads",
		func(p headerPair) bool { return p.name == "x-portkey-calculate-audio-duration" && p.ours == "" }},
}

func isJSONHeader(p headerPair) bool {
	text, _ := p.node.(string)
	return (p.name == "x-portkey-config" || p.name == "x-portkey-metadata") && strings.HasPrefix(text, "{")
}

func isASCII(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r > 0x7e })
}

func sameJSON(p headerPair) bool {
	var node, ours any
	return json.Unmarshal([]byte(p.node.(string)), &node) == nil && json.Unmarshal([]byte(p.ours), &ours) == nil &&
		isASCII(p.ours) && reflect.DeepEqual(node, ours)
}

// A nodeCase is one set of parameters, for either library.
type nodeCase struct {
	params  map[string]any
	headers portkey.Headers
}

func newNodeCase() *nodeCase { return &nodeCase{params: make(map[string]any)} }

func (c *nodeCase) set(name string, v nodeValue) {
	c.params[name] = v.node
	if v.set != nil {
		v.set(&c.headers)
	}
}

// generateNodeCases returns every parameter alone, all together and random subsets.
func generateNodeCases(r *rand.Rand) (cases []*nodeCase) {
	pick := func(p nodeParam) nodeValue {
		if p.random != nil && r.IntN(2) == 0 {
			return *p.random(r)
		}
		return p.values[r.IntN(len(p.values))]
	}
	for _, p := range nodeParams {
		values := slices.Clone(p.values)
		for range 4 {
			if p.random != nil {
				values = append(values, *p.random(r))
			}
		}
		for _, v := range values {
			c := newNodeCase()
			c.set(p.name, v)
			cases = append(cases, c)
		}
	}
	for range 40 {
		c := newNodeCase()
		for _, p := range nodeParams {
			c.set(p.name, pick(p))
		}
		cases = append(cases, c)
	}
	for range 400 {
		c, share := newNodeCase(), r.Float64()
		for _, p := range nodeParams {
			if r.Float64() < share {
				c.set(p.name, pick(p))
			}
		}
		cases = append(cases, c)
	}
	return cases
}

// Portkey's Node SDK and this library send the same headers for the same parameters,
// except for nodeDifferences.
func TestHeadersAreThoseOfTheNodeSDK(t *testing.T) {
	t.Parallel()
	cases := generateNodeCases(random(t))
	if len(cases) < 500 {
		t.Errorf("cases: got %d, want 500 at least", len(cases))
	}
	node, ours := nodeHeaders(t, cases), ourHeaders(t, cases)

	used := make([]int, len(nodeDifferences))
	for i, c := range cases {
		names := slices.Concat(slices.Collect(maps.Keys(node[i])), slices.Collect(maps.Keys(ours[i])))
		slices.Sort(names)
		for _, name := range slices.Compact(names) {
			p := headerPair{name, node[i][name], ours[i][name]}
			if p.node == p.ours && p.ours != "" {
				continue
			}
			if d := nodeDifference(p); d >= 0 {
				used[d]++
				continue
			}
			params, _ := json.Marshal(c.params)
			t.Errorf("%s of case %d, %s: got %q, want %#v as of the Node SDK", name, i, params, p.ours, p.node)
		}
	}
	t.Logf("%d cases", len(cases))
	for i, d := range nodeDifferences {
		if t.Logf("%d headers: %s", used[i], d.reason); used[i] == 0 {
			t.Errorf("no header differs because %s: strike it out", d.reason)
		}
	}
}

// The table has the parameters that the SDK's own declaration has.
func TestAllParametersOfTheNodeSDKAreCompared(t *testing.T) {
	t.Parallel()
	realgateway.URL(t) // for its installation
	text, err := os.ReadFile("node_modules/portkey-ai/dist/src/_types/generalTypes.d.ts")
	if err != nil {
		t.Fatal(err)
	}
	_, body, _ := strings.Cut(string(text), "interface ApiClientInterface {")
	body, _, _ = strings.Cut(body, "[key: string]")
	var want, got []string
	for _, m := range regexp.MustCompile(`(?m)^\s*(\w+)\?:`).FindAllStringSubmatch(body, -1) {
		want = append(want, m[1])
	}
	for _, p := range nodeParams {
		got = append(got, p.name)
		if len(p.values) < 2 {
			t.Errorf("values of %s: got %d, want 2 at least", p.name, len(p.values))
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("parameters: got %q, want %q", got, want)
	}
	check(t, "number of parameters", len(got), 41)
}

func nodeDifference(p headerPair) int {
	for i, d := range nodeDifferences {
		if d.holds(p) {
			return i
		}
	}
	return -1
}

// nodeHeaders returns what the Node SDK makes of the cases.
func nodeHeaders(t *testing.T, cases []*nodeCase) (all []map[string]any) {
	t.Helper()
	realgateway.URL(t) // for its installation
	params := make([]map[string]any, len(cases))
	for i, c := range cases {
		params[i] = c.params
	}
	input, err := json.Marshal(params)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "node", "nodesdk.cjs")
	// The SDK reads a key from the environment.
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + os.Getenv("HOME")}
	cmd.Stdin = bytes.NewReader(input)
	output, err := cmd.Output()
	if err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) {
			t.Fatalf("nodesdk.cjs: %v\n%s", err, exit.Stderr)
		}
		t.Fatalf("nodesdk.cjs: %v", err)
	}
	d := json.NewDecoder(bytes.NewReader(output))
	d.UseNumber()
	if err := d.Decode(&all); err != nil {
		t.Fatalf("nodesdk.cjs wrote %q, which is not a list of headers: %v", output, err)
	}
	if len(all) != len(cases) {
		t.Fatalf("sets of headers: got %d, want %d", len(all), len(cases))
	}
	for _, headers := range all { // a parameter that is forwarded has lost its prefix
		maps.DeleteFunc(headers, func(name string, _ any) bool { return !isCompared(name) })
	}
	return all
}

// ourHeaders returns what a Transport puts on the wire for the cases.
func ourHeaders(t *testing.T, cases []*nodeCase) []map[string]string {
	t.Helper()
	u := newUpstream(t, reply(http.StatusOK, `{}`))
	for i, c := range cases {
		tr, err := portkey.NewTransport(u.Client().Transport, portkey.Options{
			BaseURL: u.URL + "/v1", Headers: c.headers, NewTraceID: func(context.Context) string { return "" },
		})
		if err != nil {
			params, _ := json.Marshal(c.params)
			t.Fatalf("case %d, %s: %v", i, params, err)
		}
		req, err := http.NewRequestWithContext(bounded(t), http.MethodPost, u.URL+"/v1/chat/completions", strings.NewReader(`{}`))
		if err != nil {
			t.Fatal(err)
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			t.Fatalf("case %d: %v", i, err)
		}
		resp.Body.Close()
	}

	var all []map[string]string
	for i, r := range u.requests() {
		headers := make(map[string]string)
		for key, values := range r.Header {
			if name := strings.ToLower(key); isCompared(name) {
				if headers[name] = values[0]; len(values) > 1 {
					t.Errorf("%s of case %d: got %d lines, want 1", name, i, len(values))
				}
			}
		}
		all = append(all, headers)
	}
	if len(all) != len(cases) {
		t.Fatalf("requests: got %d, want %d", len(all), len(cases))
	}
	return all
}

func isCompared(name string) bool {
	return strings.HasPrefix(name, "x-portkey-") || name == "authorization"
}

// random returns a source whose seed the environment sets.
func random(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(1)
	if text := os.Getenv("INTEROP_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("INTEROP_SEED: %v", err)
		}
	}
	t.Logf("seed %d; INTEROP_SEED=%d repeats this", seed, seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// textParam is a parameter that takes any text, or one of some.
func textParam(name string, field func(h *portkey.Headers) *string, some ...string) nodeParam {
	if len(some) > 0 {
		return nodeParam{name: name, values: texts(field, append(some, "")...)}
	}
	return nodeParam{
		name:   name,
		values: texts(field, "v-1", `a "quoted", {braced} \back\slash`, "0", "false", ""),
		random: func(r *rand.Rand) *nodeValue { return &texts(field, randomASCII(r))[0] },
	}
}

func texts(field func(h *portkey.Headers) *string, values ...string) (all []nodeValue) {
	for _, v := range values {
		all = append(all, nodeValue{v, func(h *portkey.Headers) { *field(h) = v }})
	}
	return all
}

func flagParam(name string, field func(h *portkey.Headers) **bool) nodeParam {
	p := nodeParam{name: name}
	for _, v := range []bool{true, false} {
		p.values = append(p.values, nodeValue{v, func(h *portkey.Headers) { *field(h) = portkey.Ptr(v) }})
	}
	return p
}

func listParam(name string, field func(h *portkey.Headers) *[]string, values ...[]string) nodeParam {
	p := nodeParam{name: name}
	for _, v := range values {
		p.values = append(p.values, nodeValue{v, func(h *portkey.Headers) { *field(h) = v }})
	}
	return p
}

func timeoutParam(name string) nodeParam {
	timeout := func(us int) nodeValue {
		return nodeValue{float64(us) / 1000, func(h *portkey.Headers) { h.RequestTimeout = time.Duration(us) * time.Microsecond }}
	}
	return nodeParam{
		name:   name,
		values: []nodeValue{timeout(3_000_000), timeout(1000), timeout(2500), timeout(0), timeout((1<<31 - 1) * 1000)},
		random: func(r *rand.Rand) *nodeValue {
			v := timeout(1 + r.IntN(100_000_000))
			return &v
		},
	}
}

// unshipped is a parameter that this library has no field for.
func unshipped(name string, values ...any) nodeParam {
	p := nodeParam{name: name}
	for _, v := range values {
		p.values = append(p.values, nodeValue{node: v})
	}
	return p
}

func metadataParam(name string) nodeParam {
	metadata := func(m map[string]string) nodeValue {
		return nodeValue{m, func(h *portkey.Headers) { h.Metadata = m }}
	}
	return nodeParam{
		name: name,
		values: []nodeValue{
			metadata(map[string]string{"_user": "u-1"}),
			metadata(map[string]string{"_user": "Zoë", "stadt": "Köln", "鍵": "値", "medal": "🥇"}),
			metadata(map[string]string{"b": `"quoted" \ <b>&amp;</b>`, "a": "", "control": "\t\n\x00\x7f\u2028"}),
			metadata(map[string]string{}),
		},
		random: func(r *rand.Rand) *nodeValue {
			m := make(map[string]string)
			for range r.IntN(6) {
				m[randomText(r, 12)] = randomText(r, 40)
			}
			v := metadata(m)
			return &v
		},
	}
}

// configParam is a config in each form that there is here: there it is an object
// or text.
func configParam(name string) nodeParam {
	slug := func(s string) nodeValue {
		return nodeValue{s, func(h *portkey.Headers) { h.Config = portkey.ConfigSlug(s) }}
	}
	asText := func(text string) nodeValue {
		return nodeValue{text, func(h *portkey.Headers) { h.Config = portkey.ConfigJSON(text) }}
	}
	asJSON := func(text string) nodeValue {
		return nodeValue{json.RawMessage(text), func(h *portkey.Headers) { h.Config = portkey.ConfigJSON(text) }}
	}
	asObject := func(text string) nodeValue {
		var object portkey.ConfigObject
		if err := json.Unmarshal([]byte(text), &object); err != nil {
			panic(fmt.Sprintf("config %s: %v", text, err))
		}
		return nodeValue{json.RawMessage(text), func(h *portkey.Headers) { h.Config = object }}
	}
	const nested = `{
		"strategy": {"mode": "conditional", "default": "rest", "conditions": [
			{"query": {"$or": [{"metadata.plan": {"$in": ["paid", "gôld"]}}, {"params.max_tokens": {"$gt": 1e3}}]}, "then": "best"}]},
		"targets": [
			{"name": "rest", "provider": "openai", "api_key": "k\"1\"\\", "weight": 0, "override_params": {"user": "Zoë 金 🥇", "stop": ["\n", "<b>"], "seed": null}},
			{"name": "best", "strategy": {"mode": "fallback", "on_status_codes": [429, 503]}, "targets": [
				{"virtual_key": "vk-1", "retry": {"attempts": 2}},
				{"provider": "@anthropic-prod", "strict_open_ai_compliance": false, "newer": {"a": [true, false, 0.5, "x"]}}]}],
		"cache": {"mode": "semantic", "max_age": 60}, "request_timeout": 1500.5}`
	const small = `{"retry": {"attempts": 3, "on_status_codes": [429]}, "cache": {"mode": "simple"}}`
	return nodeParam{
		name: name,
		values: []nodeValue{
			slug("cf-abc-123"), slug("pc-prod-1"), slug(""),
			asText(small), asText(nested), asJSON(small), asJSON(nested), asObject(small), asObject(nested), asObject(`{}`),
		},
		random: func(r *rand.Rand) *nodeValue {
			text, _ := json.Marshal(randomConfig(r))
			v := []func(string) nodeValue{asText, asJSON, asObject}[r.IntN(3)](string(text))
			return &v
		},
	}
}

// randomConfig is a config with random texts and numbers in it.
func randomConfig(r *rand.Rand) map[string]any {
	config := map[string]any{
		"provider": "openai",
		"api_key":  randomText(r, 20),
		"retry":    map[string]any{"attempts": r.IntN(6)},
		"override_params": map[string]any{
			randomText(r, 10): randomText(r, 40),
			"list":            []any{r.IntN(2) == 0, r.Float64(), randomText(r, 5), nil},
			"object":          map[string]any{randomText(r, 5): map[string]any{}},
		},
	}
	if r.IntN(2) == 0 {
		return config
	}
	return map[string]any{
		"strategy":                  map[string]any{"mode": "loadbalance"},
		"targets":                   []any{config, map[string]any{"virtual_key": randomText(r, 10), "weight": r.Float64()}},
		"strict_open_ai_compliance": r.IntN(2) == 0,
	}
}

// randomText returns up to n characters of any kind, one at least.
func randomText(r *rand.Rand, n int) string {
	alphabet := []rune("abcXYZ 019_-.,:;\"\"\\\\'`{}[]<>&%/=\t\n\r\x00\x1f\x7fäßéÿπя\u0080\u2028\u2029\ufeff中文金한\uffff🥇😀𝄞")
	text := make([]rune, 1+r.IntN(n))
	for i := range text {
		text[i] = alphabet[r.IntN(len(alphabet))]
	}
	return string(text)
}

// randomASCII returns what a plain header can carry.
func randomASCII(r *rand.Rand) string {
	text := make([]byte, 1+r.IntN(40))
	for i := range text {
		text[i] = ' ' + byte(r.IntN(0x7f-' '))
	}
	return "x" + string(text) + "x" // no blanks around it
}
