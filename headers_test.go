package portkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/portkey-go/portkey"
)

const secret = "SYNTHETIC-SECRET"

// textFields returns pointers to the fields of h that accept any text, keyed by header.
func textFields(h *portkey.Headers) map[string]*string {
	return map[string]*string{
		"x-portkey-api-key":         &h.APIKey,
		"x-portkey-virtual-key":     &h.VirtualKey,
		"x-portkey-trace-id":        &h.TraceID,
		"x-portkey-span-id":         &h.SpanID,
		"x-portkey-span-name":       &h.SpanName,
		"x-portkey-parent-span-id":  &h.ParentSpanID,
		"x-portkey-cache-namespace": &h.CacheNamespace,

		"x-portkey-openai-organization": &h.OpenAI.Organization,
		"x-portkey-openai-project":      &h.OpenAI.Project,
		"x-portkey-openai-beta":         &h.OpenAI.Beta,

		"x-portkey-anthropic-beta":             &h.Anthropic.Beta,
		"x-portkey-anthropic-version":          &h.Anthropic.Version,
		"x-portkey-anthropic-aws-workspace-id": &h.Anthropic.AWSWorkspaceID,

		"x-portkey-azure-resource-name":       &h.Azure.ResourceName,
		"x-portkey-azure-deployment-id":       &h.Azure.DeploymentID,
		"x-portkey-azure-api-version":         &h.Azure.APIVersion,
		"x-portkey-azure-model-name":          &h.Azure.ModelName,
		"x-portkey-azure-ad-token":            &h.Azure.ADToken,
		"x-portkey-azure-auth-mode":           &h.Azure.AuthMode,
		"x-portkey-azure-managed-client-id":   &h.Azure.ManagedClientID,
		"x-portkey-azure-workload-client-id":  &h.Azure.WorkloadClientID,
		"x-portkey-azure-entra-client-id":     &h.Azure.EntraClientID,
		"x-portkey-azure-entra-client-secret": &h.Azure.EntraClientSecret,
		"x-portkey-azure-entra-tenant-id":     &h.Azure.EntraTenantID,
		"x-portkey-azure-entra-scope":         &h.Azure.EntraScope,
		"x-portkey-azure-endpoint-name":       &h.Azure.EndpointName,
		"x-portkey-azure-foundry-url":         &h.Azure.FoundryURL,
		"x-portkey-azure-extra-params":        &h.Azure.ExtraParams,

		"x-portkey-vertex-project-id":          &h.Vertex.ProjectID,
		"x-portkey-vertex-region":              &h.Vertex.Region,
		"x-portkey-vertex-auth-type":           &h.Vertex.AuthType,
		"x-portkey-vertex-storage-bucket-name": &h.Vertex.StorageBucketName,
		"x-vertex-ai-llm-request-type":         &h.Vertex.LLMRequestType,

		"x-portkey-aws-access-key-id":                         &h.AWS.AccessKeyID,
		"x-portkey-aws-secret-access-key":                     &h.AWS.SecretAccessKey,
		"x-portkey-aws-region":                                &h.AWS.Region,
		"x-portkey-aws-session-token":                         &h.AWS.SessionToken,
		"x-portkey-aws-role-arn":                              &h.AWS.RoleARN,
		"x-portkey-aws-auth-type":                             &h.AWS.AuthType,
		"x-portkey-aws-external-id":                           &h.AWS.ExternalID,
		"x-portkey-aws-s3-bucket":                             &h.AWS.S3Bucket,
		"x-portkey-aws-s3-object-key":                         &h.AWS.S3ObjectKey,
		"x-portkey-aws-bedrock-model":                         &h.AWS.BedrockModel,
		"x-portkey-amz-server-side-encryption":                &h.AWS.ServerSideEncryption,
		"x-portkey-amz-server-side-encryption-aws-kms-key-id": &h.AWS.KMSKeyID,

		"x-portkey-amzn-sagemaker-custom-attributes":         &h.SageMaker.CustomAttributes,
		"x-portkey-amzn-sagemaker-target-model":              &h.SageMaker.TargetModel,
		"x-portkey-amzn-sagemaker-target-variant":            &h.SageMaker.TargetVariant,
		"x-portkey-amzn-sagemaker-target-container-hostname": &h.SageMaker.TargetContainerHostname,
		"x-portkey-amzn-sagemaker-inference-id":              &h.SageMaker.InferenceID,
		"x-portkey-amzn-sagemaker-enable-explanations":       &h.SageMaker.EnableExplanations,
		"x-portkey-amzn-sagemaker-inference-component":       &h.SageMaker.InferenceComponent,
		"x-portkey-amzn-sagemaker-session-id":                &h.SageMaker.SessionID,
		"x-portkey-amzn-sagemaker-model-name":                &h.SageMaker.ModelName,

		"x-portkey-oracle-api-version":    &h.Oracle.APIVersion,
		"x-portkey-oracle-region":         &h.Oracle.Region,
		"x-portkey-oracle-compartment-id": &h.Oracle.CompartmentID,
		"x-portkey-oracle-serving-mode":   &h.Oracle.ServingMode,
		"x-portkey-oracle-tenancy":        &h.Oracle.Tenancy,
		"x-portkey-oracle-user":           &h.Oracle.User,
		"x-portkey-oracle-fingerprint":    &h.Oracle.Fingerprint,
		"x-portkey-oracle-private-key":    &h.Oracle.PrivateKey,
		"x-portkey-oracle-key-passphrase": &h.Oracle.KeyPassphrase,

		"x-portkey-stability-client-id":      &h.Stability.ClientID,
		"x-portkey-stability-client-user-id": &h.Stability.ClientUserID,
		"x-portkey-stability-client-version": &h.Stability.ClientVersion,

		"x-portkey-databricks-workspace":             &h.Databricks.Workspace,
		"x-portkey-databricks-serving-endpoint-name": &h.Databricks.ServingEndpointName,

		"x-portkey-file-purpose":            &h.Files.Purpose,
		"x-portkey-model-type":              &h.Files.ModelType,
		"x-portkey-provider-file-name":      &h.Files.ProviderFileName,
		"x-portkey-provider-model":          &h.Files.ProviderModel,
		"x-portkey-provider-batch-endpoint": &h.Files.ProviderBatchEndpoint,

		"x-portkey-workers-ai-account-id": &h.WorkersAI.AccountID,

		"x-portkey-huggingface-base-url": &h.HuggingFace.BaseURL,

		"x-portkey-fireworks-account-id": &h.Fireworks.AccountID,

		"x-portkey-snowflake-account": &h.Snowflake.Account,

		"x-portkey-byteplus-region": &h.BytePlus.Region,
	}
}

// A fieldTest has two values of one field of Headers, and how each is sent.
type fieldTest struct {
	header       string
	a, b         portkey.Headers
	wireA, wireB string // "": no header is sent
}

// fieldTests has one row for each field.
var fieldTests = func() []fieldTest {
	type h = portkey.Headers
	yes, no := portkey.Ptr(true), portkey.Ptr(false)
	all := []fieldTest{
		{"x-portkey-provider", h{Provider: "groq"}, h{Provider: "@team-b"}, "groq", "@team-b"},
		{"authorization", h{Authorization: "Bearer a"}, h{Authorization: "Bearer b"}, "Bearer a", "Bearer b"},
		{
			"x-portkey-config",
			h{Config: portkey.ConfigSlug("pc-a")},
			h{Config: portkey.ConfigJSON(" { \"provider\" : \"openai\", \"x\": \"Zoë \U0001f600\x7f\" }\n")},
			"pc-a", `{"provider":"openai","x":"Zo\u00eb \ud83d\ude00\u007f"}`,
		},
		{
			"x-portkey-custom-host", h{CustomHost: "https://llm.example.com/v1"}, h{CustomHost: "http://127.0.0.1:80"},
			"https://llm.example.com/v1", "http://127.0.0.1:80",
		},
		{
			"x-portkey-metadata",
			h{Metadata: portkey.Metadata{"k": "a"}},
			h{Metadata: portkey.Metadata{"k": "é\"\\\n\x7f<世\U0001f600"}},
			`{"k":"a"}`, `{"k":"\u00e9\"\\\u000a\u007f<\u4e16\ud83d\ude00"}`,
		},
		{"x-portkey-cache-force-refresh", h{CacheForceRefresh: yes}, h{CacheForceRefresh: no}, "true", ""},
		{
			"x-portkey-request-timeout", h{RequestTimeout: 1500 * time.Millisecond}, h{RequestTimeout: time.Nanosecond},
			"1500", "1",
		},
		{
			"x-portkey-strict-open-ai-compliance", h{StrictOpenAICompliance: no}, h{StrictOpenAICompliance: yes},
			"false", "true",
		},
		{"x-portkey-debug", h{Debug: no}, h{Debug: yes}, "false", "true"},
		{
			"x-portkey-forward-headers", h{ForwardHeaders: []string{"X-One", "x-two"}}, h{ForwardHeaders: []string{"X-Three"}},
			"X-One,x-two", "X-Three",
		},
		{
			"x-portkey-sensitive-headers",
			h{SensitiveHeaders: []string{"X-One", "x-two"}}, h{SensitiveHeaders: []string{"X-Three"}},
			"X-One,x-two", "X-Three",
		},
		{
			"x-portkey-beta", h{Beta: []string{"one-2026-07-30", "two"}}, h{Beta: []string{"three"}},
			"one-2026-07-30,two", "three",
		},
		{"x-portkey-nitro-mode", h{NitroMode: yes}, h{NitroMode: no}, "true", "false"},
		{
			"x-portkey-fetch-integrated-models", h{FetchIntegratedModels: yes}, h{FetchIntegratedModels: no},
			"true", "false",
		},
		{
			"x-portkey-provider-responses-proxy", h{ProviderResponsesProxy: yes}, h{ProviderResponsesProxy: no},
			"true", "false",
		},
		{
			"x-portkey-vertex-service-account-json",
			h{Vertex: portkey.Vertex{ServiceAccountJSON: `{ "private_key": "é\n" }`}},
			h{Vertex: portkey.Vertex{ServiceAccountJSON: "{\n}"}},
			`{"private_key":"\u00e9\n"}`, "{}",
		},
		{
			"x-portkey-file-upload-size", h{Files: portkey.Files{UploadSize: 1}}, h{Files: portkey.Files{UploadSize: 1 << 40}},
			"1", "1099511627776",
		},
		{
			"x-portkey-mistral-fim-completion",
			h{Mistral: portkey.Mistral{FIMCompletion: yes}}, h{Mistral: portkey.Mistral{FIMCompletion: no}},
			"true", "false",
		},
	}
	for _, header := range slices.Sorted(maps.Keys(textFields(new(h)))) {
		row := fieldTest{header: header, wireA: "Value A of " + header, wireB: "Value B of " + header}
		*textFields(&row.a)[header], *textFields(&row.b)[header] = row.wireA, row.wireB
		all = append(all, row)
	}
	return all
}()

// taggedFields calls visit for each field of Headers and of its groups that is sent as a header.
func taggedFields(v reflect.Value, visit func(header string, field reflect.Value)) {
	for i := range v.NumField() {
		tag := v.Type().Field(i).Tag.Get("header")
		if name, _, _ := strings.Cut(tag, ","); name != "" {
			visit(name, v.Field(i))
		} else if v.Field(i).Kind() == reflect.Struct {
			taggedFields(v.Field(i), visit)
		}
	}
}

func TestFieldTestsCoverEveryField(t *testing.T) {
	t.Parallel()
	rows := map[string]int{}
	for _, tt := range fieldTests {
		rows[tt.header]++
		t.Run(tt.header, func(t *testing.T) {
			for _, h := range []portkey.Headers{tt.a, tt.b} {
				taggedFields(reflect.ValueOf(h), func(header string, f reflect.Value) {
					if got, want := !f.IsZero(), header == tt.header; got != want {
						t.Errorf("field of %s is set: got %v, want %v", header, got, want)
					}
				})
			}
		})
	}
	taggedFields(reflect.ValueOf(portkey.Headers{}), func(header string, _ reflect.Value) {
		if rows[header] != 1 {
			t.Errorf("%s has %d rows in fieldTests, want 1", header, rows[header])
		}
		delete(rows, header)
	})
	if len(rows) > 0 {
		t.Errorf("rows without a field: %v", rows)
	}
	typ := reflect.TypeFor[portkey.Headers]()
	for i := range typ.NumField() {
		f := typ.Field(i)
		if f.Tag.Get("header") == "" && f.Type.Kind() != reflect.Struct && f.Name != "Extra" {
			t.Errorf("Headers.%s has no header tag", f.Name)
		}
	}
}

func TestEachFieldIsSentAsOneHeader(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	unset := portkey.Headers{}
	for _, tt := range fieldTests {
		mixedCase := strings.Replace(tt.header, "a", "A", 1)
		for _, level := range []struct {
			name      string
			opts, ctx portkey.Headers
			reqHeader http.Header
			want      string
		}{
			{"Options", tt.a, unset, nil, tt.wireA},
			{"context", unset, tt.b, nil, tt.wireB},
			{"context overrides Options", tt.a, tt.b, nil, tt.wireB},
			{"request overrides Options", tt.b, unset, http.Header{mixedCase: {tt.wireA}}, tt.wireA},
			{"request overrides both", tt.b, tt.b, http.Header{mixedCase: {tt.wireA}}, tt.wireA},
			{
				"twice on the request", unset, unset,
				http.Header{mixedCase: {tt.wireA}, strings.ToUpper(tt.header): {tt.wireA}},
				joinedIfList(tt.header, tt.wireA),
			},
		} {
			if tt.header == "authorization" && level.name == "request overrides both" {
				level.name, level.want = "context overrides the request", tt.wireB
			}
			t.Run(tt.header+"/"+level.name, func(t *testing.T) {
				c := newClient(t, s, portkey.Options{Headers: level.opts, NewTraceID: noTrace})
				req := newRequest(t, portkey.WithHeaders(t.Context(), level.ctx), "GET", s.URL+"/v1/x", "")
				maps.Copy(req.Header, level.reqHeader)
				do(t, c, req)
				got, want := s.last(t).header, http.Header{}
				delete(got, "Accept-Encoding") // added by net/http
				delete(got, "User-Agent")
				if level.want != "" {
					want[http.CanonicalHeaderKey(tt.header)] = []string{level.want}
				}
				if !reflect.DeepEqual(got, want) {
					t.Errorf("got %q, want %q", got, want)
				}
			})
		}
	}
}

// joinedIfList returns the value that two headers with the same value are merged into.
func joinedIfList(header, value string) string {
	switch header {
	case "x-portkey-beta", "x-portkey-forward-headers", "x-portkey-sensitive-headers":
		return value + "," + value
	}
	return value
}

func TestMetadataMergesKeyByKey(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{Headers: portkey.Headers{
		Metadata: portkey.Metadata{"a": "opt", "b": "opt", "c": "opt", "d": "opt"},
	}})
	ctx := portkey.WithMetadata(t.Context(), portkey.Metadata{"b": "outer", "c": "outer", "d": "outer"})
	ctx = portkey.WithHeaders(ctx, portkey.Headers{
		Metadata: portkey.Metadata{"c": "inner", "d": "inner", "z": "inner"},
	})
	req := newRequest(t, ctx, "GET", openAIChat, "")
	req.Header["X-PORTKEY-Metadata"] = []string{`{"d":"req","é":"req"}`}
	do(t, c, req)
	want := []string{`{"a":"opt","b":"outer","c":"inner","d":"req","z":"inner","\u00e9":"req"}`}
	if got := s.last(t).header["X-Portkey-Metadata"]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExtraHeadersOverrideByNameInAnySpelling(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace, Headers: portkey.Headers{
		Debug: portkey.Ptr(true),
		Extra: map[string]string{
			"x-portkey-nitro-mode": "true", "X-Tenant": "opt", "x-only-in-options": "opt", "x-empty": "",
		},
	}})
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{Extra: map[string]string{
		"X-PORTKEY-NITRO-MODE": "false", "x-portkey-debug": "false", "x-portkey-trace-id": "t1",
		"x-portkey-metadata": `{"a":"b"}`,
	}})
	req := newRequest(t, ctx, "GET", s.URL+"/v1/x", "")
	req.Header["x-tenant"] = []string{"req"}
	do(t, c, req)
	got := s.last(t).header
	for name, want := range map[string][]string{
		"X-Portkey-Nitro-Mode": {"false"},
		"X-Portkey-Debug":      {"false"},
		"X-Portkey-Trace-Id":   {"t1"},
		"X-Portkey-Metadata":   {`{"a":"b"}`},
		"X-Tenant":             {"req"},
		"X-Only-In-Options":    {"opt"},
		"X-Empty":              nil,
	} {
		if !reflect.DeepEqual(got[name], want) {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
}

// invalidHeaders are Headers that cannot be sent, and the header that the error names.
var invalidHeaders = func() (all []struct {
	name, header string
	headers      portkey.Headers
}) {
	add := func(header, problem string, h portkey.Headers) {
		all = append(all, struct {
			name, header string
			headers      portkey.Headers
		}{header + " " + problem, header, h})
	}
	for _, invalid := range []struct{ problem, text string }{
		{"ends in a line feed", secret + "\n"},
		{"contains CR LF", secret + "\r\nX-Evil: 1"},
		{"begins with NUL", "\x00" + secret},
		{"ends in DEL", secret + "\x7f"},
		{"begins with a tab", "\t" + secret},
		{"begins with a space", " " + secret},
		{"ends in a space", secret + " "},
		{"is not ASCII", secret + "é"},
	} {
		var h portkey.Headers
		taggedFields(reflect.ValueOf(&h).Elem(), func(header string, f reflect.Value) {
			h = portkey.Headers{}
			switch f.Kind() {
			case reflect.String:
				f.SetString(invalid.text)
			case reflect.Slice:
				if invalid.text[0] == ' ' {
					return // a space after a comma is valid
				}
				f.Set(reflect.ValueOf([]string{"X-Good", invalid.text + "x"}))
			case reflect.Interface:
				f.Set(reflect.ValueOf(portkey.ConfigSlug(invalid.text)))
			default:
				return
			}
			add(header, invalid.problem, h)
		})
		add("x-portkey-new", invalid.problem, portkey.Headers{Extra: map[string]string{"X-Portkey-New": invalid.text}})
	}
	add("x-portkey-span-id", "ends in a control character", portkey.Headers{SpanID: secret + "\x1f"})
	add("x-portkey-span-id", "is not UTF-8", portkey.Headers{SpanID: secret + "\x80"})
	add("x-portkey-metadata", "has a value of 129 characters", portkey.Headers{
		Metadata: portkey.Metadata{"k": secret + strings.Repeat("é", 129-len(secret))},
	})
	add("x-portkey-metadata", "has a value that is not UTF-8", portkey.Headers{
		Metadata: portkey.Metadata{"k": secret + "\xff"},
	})
	add("x-portkey-metadata", "has a key that is not UTF-8", portkey.Headers{Metadata: portkey.Metadata{"\xff": "v"}})
	add("x-portkey-metadata", "in Extra is not JSON", portkey.Headers{
		Extra: map[string]string{"x-portkey-metadata": "_user=" + secret},
	})
	for _, text := range []string{
		secret, `{"api_key":"` + secret, `["` + secret + `"]`, `{} ` + secret, "{\"a\":\"" + secret + "\xff\"}",
		`"` + secret + `"`,
	} {
		add("x-portkey-config", fmt.Sprintf("is %q", text), portkey.Headers{Config: portkey.ConfigJSON(text)})
	}
	add("x-portkey-config", "has JSON as a slug", portkey.Headers{
		Config: portkey.ConfigSlug(`{"api_key":"` + secret + `"}`),
	})
	for _, name := range []string{
		"x-portkey-api-key", "X-Portkey-Forward-Headers", "x-portkey-" + secret, "Metadata-Flavor",
		"x-aws-ec2-metadata-token", "X-Google-Metadata-Request", "Content-Length", "", "a b", "a;" + secret,
	} {
		add("x-portkey-forward-headers", fmt.Sprintf("lists %q", name), portkey.Headers{
			ForwardHeaders: []string{"X-Good", name},
		})
	}
	add("x-portkey-vertex-service-account-json", "is a path", portkey.Headers{
		Vertex: portkey.Vertex{ServiceAccountJSON: "/etc/" + secret + ".json"},
	})
	add("x-portkey-file-upload-size", "is negative", portkey.Headers{Files: portkey.Files{UploadSize: -1}})
	add("x-portkey-sensitive-headers", "lists an invalid name", portkey.Headers{
		SensitiveHeaders: []string{"a:" + secret},
	})
	for _, d := range []time.Duration{
		-1, -time.Second, (math.MaxInt32 + 1) * time.Millisecond, math.MaxInt32*time.Millisecond + 1,
		math.MaxInt64, math.MinInt64,
	} {
		add("x-portkey-request-timeout", "is "+d.String(), portkey.Headers{RequestTimeout: d})
	}
	for _, url := range []string{secret, "ftp://" + secret, "https://u:" + secret + "@h", "http://", "//" + secret} {
		add("x-portkey-custom-host", fmt.Sprintf("is %q", url), portkey.Headers{CustomHost: url})
	}
	for _, size := range []int{2049, 2048 + len("https://h/")} {
		url := "https://h/" + strings.Repeat("x", size-len("https://h/"))
		add("x-portkey-custom-host", fmt.Sprintf("has %d bytes", size), portkey.Headers{CustomHost: url})
	}
	add("x-portkey-debug", "is also in Extra", portkey.Headers{
		Debug: portkey.Ptr(true), Extra: map[string]string{"x-portkey-debug": secret},
	})
	add("x-portkey-trace-id", "is also in Extra", portkey.Headers{
		TraceID: "t", Extra: map[string]string{"x-portkey-trace-id": secret},
	})
	add("x-portkey-metadata", "is also in Extra", portkey.Headers{
		Metadata: portkey.Metadata{"a": "1"}, Extra: map[string]string{"x-portkey-metadata": `{"b":"` + secret + `"}`},
	})
	add("x-two", "is twice in Extra", portkey.Headers{Extra: map[string]string{"X-Two": "1", "x-two": secret}})
	for _, name := range []string{
		"Host", "content-length", "Transfer-Encoding", "connection",
		"Expect", "Keep-Alive", "proxy-connection", "TE", "trailer", "upgrade",
	} {
		add(strings.ToLower(name), "is set by net/http", portkey.Headers{Extra: map[string]string{name: secret}})
	}
	for _, name := range []string{"", "a b", "a:b", "a\n" + secret, "é" + secret} {
		add("Extra", fmt.Sprintf("has the name %q", name), portkey.Headers{Extra: map[string]string{name: "v"}})
	}
	return all
}()

func TestNewTransportRejectsInvalidHeaders(t *testing.T) {
	t.Parallel()
	for _, tt := range invalidHeaders {
		t.Run(tt.name, func(t *testing.T) {
			_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Headers: tt.headers})
			checkHeaderError(t, err, tt.header)
		})
	}
}

func TestInvalidHeadersInAContextFailTheCall(t *testing.T) {
	t.Parallel()
	for _, tt := range invalidHeaders {
		t.Run(tt.name, func(t *testing.T) {
			ctx := portkey.WithHeaders(t.Context(), tt.headers)
			// Later valid values do not clear the error.
			ctx = portkey.WithTrace(portkey.WithMetadata(ctx, portkey.Metadata{"valid": "1"}), "valid")
			checkInvalidRequest(t, newRequest(t, ctx, "POST", openAIChat, ""), tt.header)
		})
	}
}

func TestInvalidPortkeyHeadersOnTheRequestFailTheCall(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, header string
		reqHeader    http.Header
	}{
		{"line feed", "x-portkey-trace-id", http.Header{"X-Portkey-Trace-Id": {secret + "\n"}}},
		{"not UTF-8", "x-portkey-span-id", http.Header{"X-Portkey-Span-Id": {secret + "\x80"}}},
		{"two values", "x-portkey-trace-id", http.Header{"X-Portkey-Trace-Id": {"a", secret}}},
		{
			"two spellings", "x-portkey-config",
			http.Header{"X-Portkey-Config": {"pc-1"}, "x-portkey-config": {"{" + secret}},
		},
		{"truncated config", "x-portkey-config", http.Header{"X-Portkey-Config": {"{" + secret}}},
		{"metadata is not JSON", "x-portkey-metadata", http.Header{"x-portkey-metadata": {"_user=" + secret}}},
		{
			"metadata is nested", "x-portkey-metadata",
			http.Header{"x-portkey-metadata": {`{"a":{"b":"` + secret + `"}}`}},
		},
		{"metadata value is null", "x-portkey-metadata", http.Header{"x-portkey-metadata": {`{"a":null}`}}},
		{"metadata is null", "x-portkey-metadata", http.Header{"x-portkey-metadata": {`null`}}},
		{
			"metadata value of 129 characters", "x-portkey-metadata",
			http.Header{"X-Portkey-Metadata": {`{"k":"` + strings.Repeat("x", 129) + `"}`}},
		},
		{
			"forwarded Portkey header", "x-portkey-forward-headers",
			http.Header{"X-Portkey-Forward-Headers": {"X-A", "x-portkey-api-key"}},
		},
		{"timeout with a unit", "x-portkey-request-timeout", http.Header{"X-Portkey-Request-Timeout": {"3s"}}},
		{"name with a space", "x-portkey-*", http.Header{"X-Portkey-A B": {"x"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := newRequest(t, t.Context(), "POST", openAIChat, "")
			req.Header = tt.reqHeader
			checkInvalidRequest(t, req, tt.header)
		})
	}
}

// checkInvalidRequest sends req and checks that it fails with a HeaderError for header,
// closes its body, and does not reach the base.
func checkInvalidRequest(t *testing.T, req *http.Request, header string) {
	t.Helper()
	body := newCountingBody()
	req.Body = body
	_, err := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example"}).RoundTrip(req)
	checkHeaderError(t, err, header)
	if got := body.closed.Load(); got != 1 {
		t.Errorf("body closed: got %d times, want 1", got)
	}
}

func checkHeaderError(t *testing.T, err error, header string) {
	t.Helper()
	var headerErr *portkey.HeaderError
	if !errors.As(err, &headerErr) || headerErr.Name != header {
		t.Errorf("got %v, want a HeaderError for %s", err, header)
		return
	}
	text := err.Error()
	for _, want := range []string{"invalid header", header} {
		if !strings.Contains(text, want) {
			t.Errorf("got %q, want it to contain %q", text, want)
		}
	}
	if !strings.HasPrefix(text, "portkey: ") {
		t.Errorf("got %q, want the prefix portkey:", text)
	}
	if strings.Contains(text, secret) {
		t.Errorf("the error contains the value: %q", text)
	}
}

func TestMetadataValueOf128CharactersIsSent(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	ctx := portkey.WithMetadata(t.Context(), portkey.Metadata{"k": strings.Repeat("é", 128)})
	do(t, newClient(t, s, portkey.Options{}), newRequest(t, ctx, "GET", openAIChat, ""))
	want := `{"k":"` + strings.Repeat(`\u00e9`, 128) + `"}`
	if got := s.last(t).header.Get("X-Portkey-Metadata"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestChangingHeadersLaterHasNoEffect(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	h := portkey.Headers{
		Metadata: portkey.Metadata{"a": "1"}, ForwardHeaders: []string{"X-A"}, Debug: portkey.Ptr(true),
		Extra: map[string]string{"X-E": "1"},
	}
	c := newClient(t, s, portkey.Options{Headers: h, NewTraceID: noTrace})
	contexts := []context.Context{t.Context(), portkey.WithHeaders(t.Context(), h)}
	check := func() {
		t.Helper()
		want := http.Header{
			"X-Portkey-Metadata": {`{"a":"1"}`}, "X-Portkey-Forward-Headers": {"X-A"}, "X-Portkey-Debug": {"true"},
			"X-Portkey-Provider": {"openai"},
		}
		for _, ctx := range contexts {
			do(t, c, newRequest(t, ctx, "GET", openAIChat, ""))
			got := s.last(t)
			if !reflect.DeepEqual(got.portkeyHeaders(), want) || got.header.Get("X-E") != "1" {
				t.Errorf("got %v, want %v and X-E: 1", got.header, want)
			}
		}
	}
	check()
	h.Metadata["a"], h.ForwardHeaders[0], *h.Debug, h.Extra["X-E"] = "2", "X-B", false, "2"
	check()
}

func TestClientCredentialIsOmittedIfPortkeyHasOne(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	// sendAll sends a request with a credential in each header and returns those that arrive.
	sendAll := func(t *testing.T, ctx context.Context, opts portkey.Options, url, virtualKey string) http.Header {
		t.Helper()
		req := newRequest(t, ctx, "GET", url, "")
		req.Header = http.Header{"authorization": {"Bearer client"}, "X-Api-Key": {"client"}, "Api-Key": {"client"}}
		if virtualKey != "" {
			req.Header["x-portkey-virtual-key"] = []string{virtualKey}
		}
		do(t, newClient(t, s, opts), req)
		got := http.Header{}
		for _, key := range []string{"Authorization", "X-Api-Key", "Api-Key"} {
			if values := s.last(t).header[key]; values != nil {
				got[key] = values
			}
		}
		return got
	}
	configJSON := func(text string) portkey.Headers { return portkey.Headers{Config: portkey.ConfigJSON(text)} }
	omitted := http.Header{}
	sent := http.Header{"Authorization": {"Bearer client"}, "X-Api-Key": {"client"}, "Api-Key": {"client"}}
	tests := []struct {
		name    string
		headers portkey.Headers
		want    http.Header
	}{
		{"no headers", portkey.Headers{}, sent},
		{"plain provider", portkey.Headers{Provider: "groq"}, sent},
		{"saved config", portkey.Headers{Config: portkey.ConfigSlug("pc-1")}, sent},
		{"config with retries only", configJSON(`{"retry":{"attempts":1}}`), sent},
		{"virtual key", portkey.Headers{VirtualKey: "vk"}, omitted},
		{"provider slug", portkey.Headers{Provider: "@team"}, omitted},
		{"config with a provider", configJSON(`{"provider":"groq","api_key":"k"}`), omitted},
		{"config with targets", configJSON(`{"targets":[]}`), omitted},
		{"config with a model from Portkey's catalog", configJSON(`{"override_params":{"model":"@team/m"}}`), omitted},
		{"config with a virtual key", configJSON(`{"virtual_key":"vk"}`), omitted},
		{
			"config object with retries only",
			portkey.Headers{Config: portkey.ConfigObject{Retry: &portkey.Retry{Attempts: 1}}}, sent,
		},
		{
			"config object with a provider",
			portkey.Headers{Config: portkey.ConfigObject{Provider: "groq", APIKey: "k"}}, omitted,
		},
		{
			"forwarded", portkey.Headers{VirtualKey: "vk", ForwardHeaders: []string{"x-a", "x-api-KEY"}},
			http.Header{"X-Api-Key": {"client"}},
		},
		{
			"Authorization is set", portkey.Headers{VirtualKey: "vk", Authorization: "Bearer set"},
			http.Header{"Authorization": {"Bearer set"}},
		},
	}
	for _, tt := range tests {
		for _, level := range []struct {
			name string
			opts portkey.Options
			ctx  portkey.Headers
		}{
			{name: "Options", opts: portkey.Options{Headers: tt.headers}},
			{name: "context", ctx: tt.headers},
		} {
			t.Run(tt.name+"/"+level.name, func(t *testing.T) {
				ctx := portkey.WithHeaders(t.Context(), level.ctx)
				if got := sendAll(t, ctx, level.opts, openAIChat, ""); !reflect.DeepEqual(got, tt.want) {
					t.Errorf("got %v, want %v", got, tt.want)
				}
			})
		}
	}
	t.Run("provider slug of an Upstream", func(t *testing.T) {
		opts := portkey.Options{Upstreams: []portkey.Upstream{{BaseURL: "https://llm.example.com/v1", Provider: "@mine"}}}
		got := sendAll(t, t.Context(), opts, "https://llm.example.com/v1/x", "")
		if !reflect.DeepEqual(got, omitted) {
			t.Errorf("got %v, want no credential", got)
		}
		if got := s.last(t).header.Get("X-Portkey-Provider"); got != "@mine" {
			t.Errorf("got provider %q, want @mine", got)
		}
	})
	t.Run("virtual key on the request", func(t *testing.T) {
		if got := sendAll(t, t.Context(), portkey.Options{}, openAIChat, "vk"); !reflect.DeepEqual(got, omitted) {
			t.Errorf("got %v, want no credential", got)
		}
	})
}

func TestEmptyHeaderOnTheRequestIsIgnored(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{
		NewTraceID: noTrace, Headers: portkey.Headers{Authorization: "Bearer opt", SpanID: "opt"},
	})
	for _, tt := range []struct {
		name  string
		spell func(string) string
	}{
		{"canonical", http.CanonicalHeaderKey},
		{"lower case", strings.ToLower},
	} {
		t.Run(tt.name, func(t *testing.T) {
			req := newRequest(t, t.Context(), "GET", s.URL+"/v1/x", "")
			for _, name := range []string{"authorization", "x-portkey-span-id", "x-portkey-debug"} {
				req.Header[tt.spell(name)] = []string{""}
			}
			do(t, c, req)
			got := s.last(t)
			if values, want := got.header["Authorization"], []string{"Bearer opt"}; !reflect.DeepEqual(values, want) {
				t.Errorf("got Authorization %q, want %q", values, want)
			}
			if h, want := got.portkeyHeaders(), (http.Header{"X-Portkey-Span-Id": {"opt"}}); !reflect.DeepEqual(h, want) {
				t.Errorf("got %v, want %v", h, want)
			}
		})
	}
}

func TestCacheForceRefreshOnTheRequestIsSentOnlyWhenTrue(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{Headers: portkey.Headers{CacheForceRefresh: portkey.Ptr(true)}})
	for value, want := range map[string][]string{"true": {"true"}, "True": {"true"}, "false": nil, "False": nil} {
		t.Run(value, func(t *testing.T) {
			req := newRequest(t, t.Context(), "GET", s.URL+"/v1/x", "")
			req.Header.Set("X-Portkey-Cache-Force-Refresh", value)
			do(t, c, req)
			if got := s.last(t).header["X-Portkey-Cache-Force-Refresh"]; !reflect.DeepEqual(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

func TestHeadersTooLargeForTheGatewayAreRejected(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	config := func(keySize int) portkey.Headers {
		return portkey.Headers{Config: portkey.ConfigJSON(`{"api_key":"` + strings.Repeat("k", keySize) + `"}`)}
	}
	t.Run("in Options", func(t *testing.T) {
		h := config(20000 - len("X-Portkey-Config"))
		_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: s.URL, Headers: h})
		checkHeaderError(t, err, "x-portkey-config")
		const want = " has 20018 bytes, of 20018 in all headers: gateways accept 16384; " +
			"save the config at Portkey and send its slug"
		if !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("got %v, want it to contain %q", err, want)
		}
	})
	t.Run("in a context", func(t *testing.T) {
		ctx := portkey.WithHeaders(t.Context(), config(17000))
		tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: s.URL})
		_, err := tr.RoundTrip(newRequest(t, ctx, "GET", openAIChat, ""))
		checkHeaderError(t, err, "x-portkey-config")
	})
	t.Run("15000 bytes are sent", func(t *testing.T) {
		ctx := portkey.WithHeaders(t.Context(), config(15000))
		do(t, newClient(t, s, portkey.Options{}), newRequest(t, ctx, "GET", openAIChat, ""))
	})
	t.Run("without Portkey headers it is sent", func(t *testing.T) {
		req := newRequest(t, t.Context(), "GET", s.URL+"/v1/x", "")
		req.Header.Set("X-Large", strings.Repeat("x", 17000))
		do(t, newClient(t, s, portkey.Options{NewTraceID: noTrace}), req)
	})
}

func TestAPIKeyInExtraOverridesTheEnvironment(t *testing.T) {
	t.Setenv("PORTKEY_API_KEY", "pk-env")
	s := newServer(t, nil)
	for _, tt := range []struct{ name, apiKey, want string }{
		{"set", "pk-extra", "pk-extra"},
		{"empty", "", "pk-env"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := portkey.Headers{Extra: map[string]string{"x-portkey-api-key": tt.apiKey}}
			do(t, newClient(t, s, portkey.Options{Headers: h}), newRequest(t, t.Context(), "GET", openAIChat, ""))
			if got, want := s.last(t).header["X-Portkey-Api-Key"], []string{tt.want}; !reflect.DeepEqual(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// A type of another package can implement Config by embedding one, and would be printed unredacted.
func TestTypeThatEmbedsAConfigIsRejected(t *testing.T) {
	t.Parallel()
	type embedding struct{ portkey.Config }
	for name, config := range map[string]portkey.Config{
		"value":   embedding{portkey.ConfigJSON(`{"api_key":"` + secret + `"}`)},
		"pointer": &embedding{portkey.ConfigSlug("pc-1")},
	} {
		t.Run(name, func(t *testing.T) {
			h := portkey.Headers{Config: config}
			_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Headers: h})
			checkHeaderError(t, err, "x-portkey-config")
			if got := fmt.Sprint(h); strings.Contains(got, secret) {
				t.Errorf("printed with its secret: %s", got)
			}
		})
	}
}

func TestConfigMayBeAPointer(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	slug, text := portkey.ConfigSlug("pc-1"), portkey.ConfigJSON(`{"retry":{"attempts":1}}`)
	object := portkey.ConfigObject{Retry: &portkey.Retry{Attempts: 1}}
	for _, tt := range []struct {
		name   string
		config portkey.Config
		want   []string
	}{
		{"slug", &slug, []string{"pc-1"}},
		{"JSON", &text, []string{string(text)}},
		{"object", &object, []string{string(text)}},
		{"nil", (*portkey.ConfigObject)(nil), nil},
		{"empty slug", new(portkey.ConfigSlug), nil},
		{"empty slug, not a pointer", portkey.ConfigSlug(""), nil},
		{"empty object", &portkey.ConfigObject{}, nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := portkey.WithHeaders(t.Context(), portkey.Headers{Config: tt.config})
			do(t, newClient(t, s, portkey.Options{}), newRequest(t, ctx, "GET", openAIChat, ""))
			if got := s.last(t).header["X-Portkey-Config"]; !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// sentHeader returns the header that the base receives for a request to the gateway with reqHeader.
func sentHeader(t *testing.T, opts, ctx portkey.Headers, reqHeader http.Header) (http.Header, error) {
	t.Helper()
	base := new(recorder)
	tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example/v1", Headers: opts, NewTraceID: noTrace})
	req := newRequest(t, portkey.WithHeaders(t.Context(), ctx), "GET", "http://gw.example/v1/x", "")
	req.Header = reqHeader
	if _, err := tr.RoundTrip(req); err != nil {
		return nil, err
	}
	return base.last(t).Header, nil
}

type sentHeaderTest struct {
	name            string
	opts, ctx       portkey.Headers
	reqHeader, want http.Header
}

func checkSentHeaders(t *testing.T, tests []sentHeaderTest) {
	t.Helper()
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := sentHeader(t, tt.opts, tt.ctx, tt.reqHeader)
			if err != nil || !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %q, %v, want %q", got, err, tt.want)
			}
		})
	}
}

func TestHeaderPrecedence(t *testing.T) {
	t.Parallel()
	tenant := func(value string) portkey.Headers {
		return portkey.Headers{Extra: map[string]string{"X-Tenant": value}}
	}
	checkSentHeaders(t, []sentHeaderTest{
		{
			name: "request overrides Extra of a context, in another spelling",
			ctx:  tenant("ctx"), reqHeader: http.Header{"x-tenant": {"req"}},
			want: http.Header{"X-Tenant": {"req"}},
		},
		{
			name: "request overrides Extra with a value that is not ASCII",
			opts: tenant("opt"), reqHeader: http.Header{"x-tenant": {"\xe9"}},
			want: http.Header{"X-Tenant": {"\xe9"}},
		},
		{
			name: "empty Extra overrides nothing",
			opts: tenant("opt"), ctx: portkey.Headers{Extra: map[string]string{"x-tenant": ""}},
			want: http.Header{"X-Tenant": {"opt"}},
		},
		{
			name:      "empty request header overrides nothing",
			opts:      portkey.Headers{TraceID: "t1", SpanID: "s1"},
			reqHeader: http.Header{"X-Portkey-Trace-Id": {""}, "X-Portkey-Span-Id": {"", ""}, "x-portkey-debug": {}},
			want:      http.Header{"X-Portkey-Trace-Id": {"t1"}, "X-Portkey-Span-Id": {"s1"}},
		},
		{
			name: "empty value beside another on the request",
			opts: portkey.Headers{SpanID: "s1"}, reqHeader: http.Header{"X-Portkey-Span-Id": {"", "s2"}},
			want: http.Header{"X-Portkey-Span-Id": {"s2"}},
		},
		{
			name: "empty slices and maps override nothing",
			opts: portkey.Headers{ForwardHeaders: []string{"X-A"}},
			ctx: portkey.Headers{
				ForwardHeaders: []string{}, SensitiveHeaders: []string{},
				Metadata: portkey.Metadata{}, Extra: map[string]string{},
			},
			want: http.Header{"X-Portkey-Forward-Headers": {"X-A"}},
		},
		{
			name: "cache refresh false overrides true",
			opts: portkey.Headers{CacheForceRefresh: portkey.Ptr(true)},
			ctx:  portkey.Headers{CacheForceRefresh: portkey.Ptr(false)},
			want: http.Header{},
		},
	})
}

func TestUnusualValidHeadersAreSent(t *testing.T) {
	t.Parallel()
	const token = "!#$%&'*+-.^_`|~azAZ09"
	longest := "https://h/" + strings.Repeat("x", 2048-len("https://h/"))
	checkSentHeaders(t, []sentHeaderTest{
		{
			name: "empty names in a list on the request are omitted",
			reqHeader: http.Header{
				"X-Portkey-Forward-Headers": {"x-a,, x-b,", ","}, "X-Portkey-Beta": {","},
			},
			want: http.Header{"X-Portkey-Forward-Headers": {"x-a, x-b"}},
		},
		{
			name: "any token is a valid name",
			ctx:  portkey.Headers{Extra: map[string]string{token: "1"}},
			want: http.Header{http.CanonicalHeaderKey(token): {"1"}},
		},
		{
			name:      "name that only resembles Portkey's",
			reqHeader: http.Header{"x-portkeyring": {"1", "2"}},
			want:      http.Header{"x-portkeyring": {"1", "2"}},
		},
		{
			name: "longest timeout",
			opts: portkey.Headers{RequestTimeout: math.MaxInt32 * time.Millisecond},
			want: http.Header{"X-Portkey-Request-Timeout": {"2147483647"}},
		},
		{
			name: "longest custom host",
			opts: portkey.Headers{CustomHost: longest},
			want: http.Header{"X-Portkey-Custom-Host": {longest}},
		},
		{
			name: "any header may be sensitive",
			opts: portkey.Headers{SensitiveHeaders: []string{"x-portkey-api-key", "content-length"}},
			want: http.Header{"X-Portkey-Sensitive-Headers": {"x-portkey-api-key,content-length"}},
		},
		{
			name: "config after white space",
			opts: portkey.Headers{Config: portkey.ConfigJSON("\n\t\r {\"retry\":{\"attempts\":1}}")},
			want: http.Header{"X-Portkey-Config": {`{"retry":{"attempts":1}}`}},
		},
		{
			name: "first and last characters that metadata escapes",
			opts: portkey.Headers{Metadata: portkey.Metadata{"k": "\x1f ~\x7f\uffff\U00010000"}},
			want: http.Header{"X-Portkey-Metadata": {`{"k":"\u001f ~\u007f\uffff\ud800\udc00"}`}},
		},
	})
}

func TestCredentialPrecedence(t *testing.T) {
	t.Parallel()
	virtualKey := portkey.Headers{VirtualKey: "vk"}
	checkSentHeaders(t, []sentHeaderTest{
		{
			name: "provider overrides a slug, client's credential is sent",
			opts: portkey.Headers{Provider: "@team"}, ctx: portkey.Headers{Provider: "groq"},
			reqHeader: http.Header{"Authorization": {"Bearer sk"}},
			want:      http.Header{"Authorization": {"Bearer sk"}, "X-Portkey-Provider": {"groq"}},
		},
		{
			name: "provider with @ that is not a slug, client's credential is sent",
			opts: portkey.Headers{Provider: "a@b"}, reqHeader: http.Header{"Authorization": {"Bearer sk"}},
			want: http.Header{"Authorization": {"Bearer sk"}, "X-Portkey-Provider": {"a@b"}},
		},
		{
			name: "context overrides Options and client",
			opts: portkey.Headers{VirtualKey: "vk", Authorization: "Bearer opt"},
			ctx:  portkey.Headers{Authorization: "Bearer ctx"}, reqHeader: http.Header{"Authorization": {"Bearer client"}},
			want: http.Header{"Authorization": {"Bearer ctx"}, "X-Portkey-Virtual-Key": {"vk"}},
		},
		{
			name: "request forwards the client's credential, with a space in the list",
			opts: virtualKey,
			reqHeader: http.Header{
				"X-Portkey-Forward-Headers": {"x-a, x-api-key"}, "X-Api-Key": {"sk"},
			},
			want: http.Header{
				"X-Portkey-Forward-Headers": {"x-a, x-api-key"}, "X-Api-Key": {"sk"}, "X-Portkey-Virtual-Key": {"vk"},
			},
		},
		{
			name: "Google's credential is omitted",
			opts: virtualKey, reqHeader: http.Header{"X-Goog-Api-Key": {"sk"}},
			want: http.Header{"X-Portkey-Virtual-Key": {"vk"}},
		},
	})
}

func TestTwoCredentialsOnTheRequestFailTheCall(t *testing.T) {
	t.Parallel()
	reqHeader := http.Header{"Authorization": {secret}, "authorization": {"other"}}
	_, err := sentHeader(t, portkey.Headers{}, portkey.Headers{}, reqHeader)
	checkHeaderError(t, err, "authorization")
}

func TestFirstInvalidExtraHeaderIsReported(t *testing.T) {
	t.Parallel()
	h := portkey.Headers{Extra: map[string]string{"x-b": "\n", "x-a": "\n", "x-c": "\n"}}
	for range 20 { // map iteration order is random
		_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Headers: h})
		var headerErr *portkey.HeaderError
		if !errors.As(err, &headerErr) || headerErr.Name != "x-a" {
			t.Fatalf("got %v, want a HeaderError for x-a", err)
		}
	}
}

// A parameter is a place in Headers for a caller's text.
type parameter struct {
	header func(name string) string                 // the header that it is sent as
	set    func(name, value string) portkey.Headers // name is used by Metadata and Extra only
}

// parameters are the text and list fields of Headers, each kind of config, Metadata and Extra.
var parameters = func() (all []parameter) {
	taggedFields(reflect.ValueOf(portkey.Headers{}), func(header string, f reflect.Value) {
		if !slices.Contains([]reflect.Kind{reflect.String, reflect.Slice, reflect.Interface}, f.Kind()) {
			return
		}
		all = append(all, parameter{func(string) string { return header }, func(_, value string) (h portkey.Headers) {
			taggedFields(reflect.ValueOf(&h).Elem(), func(other string, f reflect.Value) {
				if other != header || value == "" {
					return
				}
				switch f.Kind() {
				case reflect.String:
					f.SetString(value)
				case reflect.Slice:
					f.Set(reflect.ValueOf([]string{value}))
				default:
					f.Set(reflect.ValueOf(portkey.ConfigJSON(value)))
				}
			})
			return h
		}})
	})
	return append(all,
		parameter{func(string) string { return "x-portkey-config" }, func(_, value string) portkey.Headers {
			return portkey.Headers{Config: portkey.ConfigSlug(value)}
		}},
		parameter{func(string) string { return "x-portkey-metadata" }, func(name, value string) portkey.Headers {
			return portkey.Headers{Metadata: portkey.Metadata{name: value}}
		}},
		parameter{func(name string) string { return name }, func(name, value string) portkey.Headers {
			return portkey.Headers{Extra: map[string]string{name: value}}
		}},
	)
}()

// levels are the ways to set a parameter.
var levels = []string{"Options", "WithHeaders", "the other With functions", "NewTraceID", "the request"}

// FuzzHeaderValue checks that any text in any parameter either fails with a HeaderError,
// or arrives unchanged in exactly one header, without any other header.
func FuzzHeaderValue(f *testing.F) {
	values := []string{
		"", "plain", " blank", "new\nline", "a\r\nx-evil: 1", "a\r\n\r\nGET / HTTP/1.1\r\n\r\n", "é", "a\x7f", "\t",
		"X-A,x-b", "x-portkey-api-key", `{"a":"é\n"}`, "http://h/v1", "5", "true",
	}
	for i := range parameters {
		f.Add(uint8(i), uint8(i/len(values)), "x-extra", values[i%len(values)])
	}
	for i, value := range values {
		f.Add(uint8(len(parameters)-1), uint8(i), value, "v")
		f.Add(uint8(len(parameters)-2), uint8(i), value, value)
	}
	received := make(chan *http.Request, 9)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { received <- r }))
	f.Cleanup(s.Close)
	base := &http.Transport{DisableCompression: true}
	f.Cleanup(base.CloseIdleConnections)

	f.Fuzz(func(t *testing.T, index, level uint8, name, value string) {
		if len(name)+len(value) > 1<<15 {
			return // the server limits the header's size
		}
		p := parameters[int(index)%len(parameters)]
		opts := portkey.Options{BaseURL: s.URL, NewTraceID: noTrace}
		ctx, reqHeader := t.Context(), http.Header{}
		key := p.header(name)
		switch levels[int(level)%len(levels)] {
		case "Options":
			opts.Headers = p.set(name, value)
		case "WithHeaders":
			ctx = portkey.WithHeaders(ctx, p.set(name, value))
		case "the other With functions":
			ctx, key = portkey.WithTrace(ctx, value), "x-portkey-trace-id"
			if index%2 == 0 {
				ctx, key = portkey.WithMetadata(t.Context(), portkey.Metadata{name: value}), "x-portkey-metadata"
			}
		case "NewTraceID":
			opts.NewTraceID, key = func(context.Context) string { return value }, "x-portkey-trace-id"
		case "the request":
			if !strings.HasPrefix(key, "x-portkey-") {
				key = "x-portkey-" + key
			}
			reqHeader[key] = []string{value}
		}
		tr, err := portkey.NewTransport(base, opts)
		if err == nil {
			req := newRequest(t, ctx, "GET", s.URL+"/v1/x", "")
			req.Header = reqHeader
			var resp *http.Response
			if resp, err = tr.RoundTrip(req); err == nil {
				resp.Body.Close()
			}
		}
		if err != nil {
			if headerErr := new(*portkey.HeaderError); !errors.As(err, headerErr) || len(received) > 0 {
				t.Errorf("%s %q: got %v and %d requests, want a HeaderError and no request", key, value, err, len(received))
			}
			return
		}
		r := <-received
		if len(received) > 0 || r.RequestURI != "/v1/x" || "http://"+r.Host != s.URL {
			t.Errorf("%s %q: got %s at %s and %d more requests", key, value, r.RequestURI, r.Host, len(received))
		}
		key = http.CanonicalHeaderKey(key)
		got := r.Header[key]
		delete(r.Header, key)
		if agent := r.Header["User-Agent"]; key != "User-Agent" && slices.Equal(agent, []string{"Go-http-client/1.1"}) {
			delete(r.Header, "User-Agent") // added by net/http
		}
		if len(r.Header) > 0 {
			t.Errorf("%s %q: got other headers %q", key, value, r.Header)
		}
		checkReceivedValues(t, key, name, value, got)
	})
}

// checkReceivedValues checks that got, the values of the header key, is one value
// that means the same as value. name is the key of a Metadata.
func checkReceivedValues(t *testing.T, key, name, value string, got []string) {
	t.Helper()
	if value == "" && got == nil {
		return // an empty value is not sent
	}
	text := strings.Join(got, "\n")
	same := text == value
	switch key {
	case "X-Portkey-Metadata":
		if got == nil {
			text = "{}" // empty metadata is not sent
		}
		metadata := map[string]string{}
		isPair := json.Unmarshal([]byte(text), &metadata) == nil &&
			reflect.DeepEqual(metadata, map[string]string{name: value})
		isJSON := strings.HasPrefix(strings.TrimLeft(value, " \t\r\n"), "{") // in Extra or on the request
		same = isPair || isJSON && sameJSON(t, text, value)
	case "X-Portkey-Config", "X-Portkey-Vertex-Service-Account-Json":
		same = same || strings.Contains(value, "{") && sameJSON(t, text, value)
	case "X-Portkey-Beta", "X-Portkey-Forward-Headers", "X-Portkey-Sensitive-Headers":
		same = same || slices.Equal(listItems(text), listItems(value))
	case "X-Portkey-Cache-Force-Refresh":
		same = text == strings.TrimPrefix(strings.ToLower(value), "false")
	}
	if !same || len(got) > 1 {
		t.Errorf("%s: got %q, want %q", key, got, value)
	}
}

func listItems(list string) []string {
	return strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
}

// The order of a map must not decide what is sent.
func TestTheSameRequestIsSentAsTheSameBytes(t *testing.T) {
	t.Parallel()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	reqHeader := http.Header{
		"X-Portkey-Forward-Headers": {"A"}, "x-portkey-forward-headers": {"B"}, "X-PORTKEY-FORWARD-HEADERS": {"C"},
		"Traceparent": {parent}, "traceparent": {strings.Replace(parent, "0af7", "1bf8", 1)},
	}
	var first string
	for range 50 {
		base := new(recorder)
		tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example", NewTraceID: func(context.Context) string { return "made" }})
		req := newRequest(t, t.Context(), "GET", openAIChat, "")
		req.Header = reqHeader.Clone()
		if _, err := tr.RoundTrip(req); err != nil {
			t.Fatal(err)
		}
		got := fmt.Sprint(base.last(t).Header)
		if first == "" {
			first = got
		}
		if got != first {
			t.Fatalf("got %s, want %s as before", got, first)
		}
	}
	if want := "X-Portkey-Forward-Headers:[C,A,B]"; !strings.Contains(first, want) || !strings.Contains(first, "X-Portkey-Trace-Id:[made]") {
		t.Errorf("got %s, want %s and the trace ID made", first, want)
	}
}

func TestHugeRetryCountIsParsedAsZero(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"99999999999999999999", "x", ""} {
		t.Run(text, func(t *testing.T) {
			h := http.Header{"X-Portkey-Retry-Attempt-Count": {text}}
			if got := portkey.ParseResponse(h).RetryAttempts; got != 0 {
				t.Errorf("got %d, want 0", got)
			}
		})
	}
}

func TestAPIKeyWithoutASchemeIsRefused(t *testing.T) {
	t.Parallel()
	for value, refused := range map[string]bool{
		"sk-proj-1": true, "gsk_1": true, "r8_1": true, "AIzaSy1": true, "eyJhbGciOi.e30.x": true,
		"Bearer sk-1": false, "Token sk-1": false, "TOKEN_OF_MY_SERVER": false, "Bearer": false, "0123456789abcdef": false,
	} {
		t.Run(value, func(t *testing.T) {
			_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Headers: portkey.Headers{Authorization: value}})
			if refused != errors.As(err, new(*portkey.HeaderError)) || !refused && err != nil {
				t.Errorf("got %v, want an error: %t", err, refused)
			}
			if refused && (strings.Contains(err.Error(), value) || !strings.Contains(err.Error(), "Bearer")) {
				t.Errorf("got %q, want a hint without the value", err)
			}
		})
	}
}

func TestHTTPHeaderIsWhatATransportSends(t *testing.T) {
	t.Parallel()
	h := portkey.Headers{
		APIKey: "pk", Provider: "@openai", TraceID: "t1", Metadata: portkey.Metadata{"_user": "Zoë"}, Debug: portkey.Ptr(false),
		RequestTimeout: 1500 * time.Microsecond, ForwardHeaders: []string{"X-Tenant"}, Authorization: "Bearer sk", Extra: map[string]string{"x-tenant": "a"},
		Config: portkey.ConfigObject{Retry: &portkey.Retry{Attempts: 2}},
	}
	base := new(recorder)
	tr := newTransport(t, base, portkey.Options{BaseURL: "http://gw.example", Headers: h})
	if _, err := tr.RoundTrip(newRequest(t, t.Context(), "GET", "http://gw.example/v1/models", "")); err != nil {
		t.Fatal(err)
	}
	got, err := h.HTTPHeader()
	if err != nil {
		t.Fatal(err)
	}
	if want := base.last(t).Header; !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}

	if got, err := (portkey.Headers{}).HTTPHeader(); err != nil || len(got) > 0 {
		t.Errorf("of no headers: got %v and error %v, want none", got, err)
	}
	for name, invalid := range map[string]portkey.Headers{
		"value": {TraceID: "a\nb"}, "size": {Extra: map[string]string{"x-portkey-large": strings.Repeat("x", 20000)}},
	} {
		if got, err := invalid.HTTPHeader(); !errors.As(err, new(*portkey.HeaderError)) || got != nil {
			t.Errorf("%s: got %v and error %v, want a HeaderError", name, got, err)
		}
	}
}
