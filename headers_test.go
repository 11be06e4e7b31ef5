package portkey_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
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

// fieldTests has a row for each header that has a field: two values of it, and
// what is on the wire for each.
var fieldTests = []struct {
	header       string
	a, b         portkey.Headers
	wireA, wireB string
}{
	{"x-portkey-api-key", portkey.Headers{APIKey: "pk-a"}, portkey.Headers{APIKey: "pk-b"}, "pk-a", "pk-b"},
	{"x-portkey-virtual-key", portkey.Headers{VirtualKey: "vk-a"}, portkey.Headers{VirtualKey: "vk-b"}, "vk-a", "vk-b"},
	{"x-portkey-provider", portkey.Headers{Provider: "groq"}, portkey.Headers{Provider: "@team-b"}, "groq", "@team-b"},
	{"authorization", portkey.Headers{Authorization: "Bearer a"}, portkey.Headers{Authorization: "Bearer b"}, "Bearer a", "Bearer b"},
	{"x-portkey-config", portkey.Headers{Config: portkey.ConfigSlug("pc-a")},
		portkey.Headers{Config: portkey.ConfigJSON(" { \"provider\" : \"openai\", \"x\": \"Zoë \U0001f600\x7f\" }\n")},
		"pc-a", `{"provider":"openai","x":"Zo\u00eb \ud83d\ude00\u007f"}`},
	{"x-portkey-custom-host", portkey.Headers{CustomHost: "https://llm.example.com/v1"}, portkey.Headers{CustomHost: "http://127.0.0.1:80"},
		"https://llm.example.com/v1", "http://127.0.0.1:80"},
	{"x-portkey-trace-id", portkey.Headers{TraceID: "trace a"}, portkey.Headers{TraceID: "trace-b"}, "trace a", "trace-b"},
	{"x-portkey-span-id", portkey.Headers{SpanID: "span-a"}, portkey.Headers{SpanID: "span-b"}, "span-a", "span-b"},
	{"x-portkey-span-name", portkey.Headers{SpanName: "name a"}, portkey.Headers{SpanName: "name b"}, "name a", "name b"},
	{"x-portkey-parent-span-id", portkey.Headers{ParentSpanID: "parent-a"}, portkey.Headers{ParentSpanID: "parent-b"}, "parent-a", "parent-b"},
	{"x-portkey-metadata", portkey.Headers{Metadata: portkey.Metadata{"k": "a"}},
		portkey.Headers{Metadata: portkey.Metadata{"k": "é\"\\\n\x7f<世\U0001f600"}},
		`{"k":"a"}`, `{"k":"\u00e9\"\\\u000a\u007f<\u4e16\ud83d\ude00"}`},
	{"x-portkey-cache-force-refresh", portkey.Headers{CacheForceRefresh: portkey.Bool(true)}, portkey.Headers{CacheForceRefresh: portkey.Bool(false)}, "true", ""},
	{"x-portkey-cache-namespace", portkey.Headers{CacheNamespace: "ns-a"}, portkey.Headers{CacheNamespace: "ns-b"}, "ns-a", "ns-b"},
	{"x-portkey-request-timeout", portkey.Headers{RequestTimeout: 1500 * time.Millisecond}, portkey.Headers{RequestTimeout: time.Nanosecond}, "1500", "1"},
	{"x-portkey-strict-open-ai-compliance", portkey.Headers{StrictOpenAICompliance: portkey.Bool(false)}, portkey.Headers{StrictOpenAICompliance: portkey.Bool(true)}, "false", "true"},
	{"x-portkey-debug", portkey.Headers{Debug: portkey.Bool(false)}, portkey.Headers{Debug: portkey.Bool(true)}, "false", "true"},
	{"x-portkey-forward-headers", portkey.Headers{ForwardHeaders: []string{"X-One", "x-two"}}, portkey.Headers{ForwardHeaders: []string{"X-Three"}}, "X-One,x-two", "X-Three"},
	{"x-portkey-sensitive-headers", portkey.Headers{SensitiveHeaders: []string{"X-One", "x-two"}}, portkey.Headers{SensitiveHeaders: []string{"X-Three"}}, "X-One,x-two", "X-Three"},
	{"x-portkey-beta", portkey.Headers{Beta: []string{"one-2026-07-30", "two"}}, portkey.Headers{Beta: []string{"three"}}, "one-2026-07-30,two", "three"},
	{"x-portkey-nitro-mode", portkey.Headers{NitroMode: portkey.Bool(true)}, portkey.Headers{NitroMode: portkey.Bool(false)}, "true", "false"},
	{"x-portkey-fetch-integrated-models", portkey.Headers{FetchIntegratedModels: portkey.Bool(true)}, portkey.Headers{FetchIntegratedModels: portkey.Bool(false)}, "true", "false"},
	{"x-portkey-provider-responses-proxy", portkey.Headers{ProviderResponsesProxy: portkey.Bool(true)}, portkey.Headers{ProviderResponsesProxy: portkey.Bool(false)}, "true", "false"},
	{"x-portkey-openai-organization", portkey.Headers{OpenAI: portkey.OpenAI{Organization: "Organization-a"}}, portkey.Headers{OpenAI: portkey.OpenAI{Organization: "Organization-b"}}, "Organization-a", "Organization-b"},
	{"x-portkey-openai-project", portkey.Headers{OpenAI: portkey.OpenAI{Project: "Project-a"}}, portkey.Headers{OpenAI: portkey.OpenAI{Project: "Project-b"}}, "Project-a", "Project-b"},
	{"x-portkey-openai-beta", portkey.Headers{OpenAI: portkey.OpenAI{Beta: "Beta-a"}}, portkey.Headers{OpenAI: portkey.OpenAI{Beta: "Beta-b"}}, "Beta-a", "Beta-b"},
	{"x-portkey-anthropic-beta", portkey.Headers{Anthropic: portkey.Anthropic{Beta: "Beta-a"}}, portkey.Headers{Anthropic: portkey.Anthropic{Beta: "Beta-b"}}, "Beta-a", "Beta-b"},
	{"x-portkey-anthropic-version", portkey.Headers{Anthropic: portkey.Anthropic{Version: "Version-a"}}, portkey.Headers{Anthropic: portkey.Anthropic{Version: "Version-b"}}, "Version-a", "Version-b"},
	{"x-portkey-anthropic-aws-workspace-id", portkey.Headers{Anthropic: portkey.Anthropic{AWSWorkspaceID: "AWSWorkspaceID-a"}}, portkey.Headers{Anthropic: portkey.Anthropic{AWSWorkspaceID: "AWSWorkspaceID-b"}}, "AWSWorkspaceID-a", "AWSWorkspaceID-b"},
	{"x-portkey-azure-resource-name", portkey.Headers{Azure: portkey.Azure{ResourceName: "ResourceName-a"}}, portkey.Headers{Azure: portkey.Azure{ResourceName: "ResourceName-b"}}, "ResourceName-a", "ResourceName-b"},
	{"x-portkey-azure-deployment-id", portkey.Headers{Azure: portkey.Azure{DeploymentID: "DeploymentID-a"}}, portkey.Headers{Azure: portkey.Azure{DeploymentID: "DeploymentID-b"}}, "DeploymentID-a", "DeploymentID-b"},
	{"x-portkey-azure-api-version", portkey.Headers{Azure: portkey.Azure{APIVersion: "APIVersion-a"}}, portkey.Headers{Azure: portkey.Azure{APIVersion: "APIVersion-b"}}, "APIVersion-a", "APIVersion-b"},
	{"x-portkey-azure-model-name", portkey.Headers{Azure: portkey.Azure{ModelName: "ModelName-a"}}, portkey.Headers{Azure: portkey.Azure{ModelName: "ModelName-b"}}, "ModelName-a", "ModelName-b"},
	{"x-portkey-azure-ad-token", portkey.Headers{Azure: portkey.Azure{ADToken: "ADToken-a"}}, portkey.Headers{Azure: portkey.Azure{ADToken: "ADToken-b"}}, "ADToken-a", "ADToken-b"},
	{"x-portkey-azure-auth-mode", portkey.Headers{Azure: portkey.Azure{AuthMode: "AuthMode-a"}}, portkey.Headers{Azure: portkey.Azure{AuthMode: "AuthMode-b"}}, "AuthMode-a", "AuthMode-b"},
	{"x-portkey-azure-managed-client-id", portkey.Headers{Azure: portkey.Azure{ManagedClientID: "ManagedClientID-a"}}, portkey.Headers{Azure: portkey.Azure{ManagedClientID: "ManagedClientID-b"}}, "ManagedClientID-a", "ManagedClientID-b"},
	{"x-portkey-azure-workload-client-id", portkey.Headers{Azure: portkey.Azure{WorkloadClientID: "WorkloadClientID-a"}}, portkey.Headers{Azure: portkey.Azure{WorkloadClientID: "WorkloadClientID-b"}}, "WorkloadClientID-a", "WorkloadClientID-b"},
	{"x-portkey-azure-entra-client-id", portkey.Headers{Azure: portkey.Azure{EntraClientID: "EntraClientID-a"}}, portkey.Headers{Azure: portkey.Azure{EntraClientID: "EntraClientID-b"}}, "EntraClientID-a", "EntraClientID-b"},
	{"x-portkey-azure-entra-client-secret", portkey.Headers{Azure: portkey.Azure{EntraClientSecret: "EntraClientSecret-a"}}, portkey.Headers{Azure: portkey.Azure{EntraClientSecret: "EntraClientSecret-b"}}, "EntraClientSecret-a", "EntraClientSecret-b"},
	{"x-portkey-azure-entra-tenant-id", portkey.Headers{Azure: portkey.Azure{EntraTenantID: "EntraTenantID-a"}}, portkey.Headers{Azure: portkey.Azure{EntraTenantID: "EntraTenantID-b"}}, "EntraTenantID-a", "EntraTenantID-b"},
	{"x-portkey-azure-entra-scope", portkey.Headers{Azure: portkey.Azure{EntraScope: "EntraScope-a"}}, portkey.Headers{Azure: portkey.Azure{EntraScope: "EntraScope-b"}}, "EntraScope-a", "EntraScope-b"},
	{"x-portkey-azure-endpoint-name", portkey.Headers{Azure: portkey.Azure{EndpointName: "EndpointName-a"}}, portkey.Headers{Azure: portkey.Azure{EndpointName: "EndpointName-b"}}, "EndpointName-a", "EndpointName-b"},
	{"x-portkey-azure-foundry-url", portkey.Headers{Azure: portkey.Azure{FoundryURL: "FoundryURL-a"}}, portkey.Headers{Azure: portkey.Azure{FoundryURL: "FoundryURL-b"}}, "FoundryURL-a", "FoundryURL-b"},
	{"x-portkey-azure-extra-params", portkey.Headers{Azure: portkey.Azure{ExtraParams: "ExtraParams-a"}}, portkey.Headers{Azure: portkey.Azure{ExtraParams: "ExtraParams-b"}}, "ExtraParams-a", "ExtraParams-b"},
	{"x-portkey-vertex-project-id", portkey.Headers{Vertex: portkey.Vertex{ProjectID: "ProjectID-a"}}, portkey.Headers{Vertex: portkey.Vertex{ProjectID: "ProjectID-b"}}, "ProjectID-a", "ProjectID-b"},
	{"x-portkey-vertex-region", portkey.Headers{Vertex: portkey.Vertex{Region: "Region-a"}}, portkey.Headers{Vertex: portkey.Vertex{Region: "Region-b"}}, "Region-a", "Region-b"},
	{"x-portkey-vertex-service-account-json", portkey.Headers{Vertex: portkey.Vertex{ServiceAccountJSON: `{ "private_key": "é\n" }`}}, portkey.Headers{Vertex: portkey.Vertex{ServiceAccountJSON: "{\n}"}}, `{"private_key":"\u00e9\n"}`, "{}"},
	{"x-portkey-vertex-auth-type", portkey.Headers{Vertex: portkey.Vertex{AuthType: "AuthType-a"}}, portkey.Headers{Vertex: portkey.Vertex{AuthType: "AuthType-b"}}, "AuthType-a", "AuthType-b"},
	{"x-portkey-vertex-storage-bucket-name", portkey.Headers{Vertex: portkey.Vertex{StorageBucketName: "StorageBucketName-a"}}, portkey.Headers{Vertex: portkey.Vertex{StorageBucketName: "StorageBucketName-b"}}, "StorageBucketName-a", "StorageBucketName-b"},
	{"x-vertex-ai-llm-request-type", portkey.Headers{Vertex: portkey.Vertex{LLMRequestType: "LLMRequestType-a"}}, portkey.Headers{Vertex: portkey.Vertex{LLMRequestType: "LLMRequestType-b"}}, "LLMRequestType-a", "LLMRequestType-b"},
	{"x-portkey-aws-access-key-id", portkey.Headers{AWS: portkey.AWS{AccessKeyID: "AccessKeyID-a"}}, portkey.Headers{AWS: portkey.AWS{AccessKeyID: "AccessKeyID-b"}}, "AccessKeyID-a", "AccessKeyID-b"},
	{"x-portkey-aws-secret-access-key", portkey.Headers{AWS: portkey.AWS{SecretAccessKey: "SecretAccessKey-a"}}, portkey.Headers{AWS: portkey.AWS{SecretAccessKey: "SecretAccessKey-b"}}, "SecretAccessKey-a", "SecretAccessKey-b"},
	{"x-portkey-aws-region", portkey.Headers{AWS: portkey.AWS{Region: "Region-a"}}, portkey.Headers{AWS: portkey.AWS{Region: "Region-b"}}, "Region-a", "Region-b"},
	{"x-portkey-aws-session-token", portkey.Headers{AWS: portkey.AWS{SessionToken: "SessionToken-a"}}, portkey.Headers{AWS: portkey.AWS{SessionToken: "SessionToken-b"}}, "SessionToken-a", "SessionToken-b"},
	{"x-portkey-aws-role-arn", portkey.Headers{AWS: portkey.AWS{RoleARN: "RoleARN-a"}}, portkey.Headers{AWS: portkey.AWS{RoleARN: "RoleARN-b"}}, "RoleARN-a", "RoleARN-b"},
	{"x-portkey-aws-auth-type", portkey.Headers{AWS: portkey.AWS{AuthType: "AuthType-a"}}, portkey.Headers{AWS: portkey.AWS{AuthType: "AuthType-b"}}, "AuthType-a", "AuthType-b"},
	{"x-portkey-aws-external-id", portkey.Headers{AWS: portkey.AWS{ExternalID: "ExternalID-a"}}, portkey.Headers{AWS: portkey.AWS{ExternalID: "ExternalID-b"}}, "ExternalID-a", "ExternalID-b"},
	{"x-portkey-aws-s3-bucket", portkey.Headers{AWS: portkey.AWS{S3Bucket: "S3Bucket-a"}}, portkey.Headers{AWS: portkey.AWS{S3Bucket: "S3Bucket-b"}}, "S3Bucket-a", "S3Bucket-b"},
	{"x-portkey-aws-s3-object-key", portkey.Headers{AWS: portkey.AWS{S3ObjectKey: "S3ObjectKey-a"}}, portkey.Headers{AWS: portkey.AWS{S3ObjectKey: "S3ObjectKey-b"}}, "S3ObjectKey-a", "S3ObjectKey-b"},
	{"x-portkey-aws-bedrock-model", portkey.Headers{AWS: portkey.AWS{BedrockModel: "BedrockModel-a"}}, portkey.Headers{AWS: portkey.AWS{BedrockModel: "BedrockModel-b"}}, "BedrockModel-a", "BedrockModel-b"},
	{"x-portkey-amz-server-side-encryption", portkey.Headers{AWS: portkey.AWS{ServerSideEncryption: "ServerSideEncryption-a"}}, portkey.Headers{AWS: portkey.AWS{ServerSideEncryption: "ServerSideEncryption-b"}}, "ServerSideEncryption-a", "ServerSideEncryption-b"},
	{"x-portkey-amz-server-side-encryption-aws-kms-key-id", portkey.Headers{AWS: portkey.AWS{KMSKeyID: "KMSKeyID-a"}}, portkey.Headers{AWS: portkey.AWS{KMSKeyID: "KMSKeyID-b"}}, "KMSKeyID-a", "KMSKeyID-b"},
	{"x-portkey-amzn-sagemaker-custom-attributes", portkey.Headers{SageMaker: portkey.SageMaker{CustomAttributes: "CustomAttributes-a"}}, portkey.Headers{SageMaker: portkey.SageMaker{CustomAttributes: "CustomAttributes-b"}}, "CustomAttributes-a", "CustomAttributes-b"},
	{"x-portkey-amzn-sagemaker-target-model", portkey.Headers{SageMaker: portkey.SageMaker{TargetModel: "TargetModel-a"}}, portkey.Headers{SageMaker: portkey.SageMaker{TargetModel: "TargetModel-b"}}, "TargetModel-a", "TargetModel-b"},
	{"x-portkey-amzn-sagemaker-target-variant", portkey.Headers{SageMaker: portkey.SageMaker{TargetVariant: "TargetVariant-a"}}, portkey.Headers{SageMaker: portkey.SageMaker{TargetVariant: "TargetVariant-b"}}, "TargetVariant-a", "TargetVariant-b"},
	{"x-portkey-amzn-sagemaker-target-container-hostname", portkey.Headers{SageMaker: portkey.SageMaker{TargetContainerHostname: "TargetContainerHostname-a"}}, portkey.Headers{SageMaker: portkey.SageMaker{TargetContainerHostname: "TargetContainerHostname-b"}}, "TargetContainerHostname-a", "TargetContainerHostname-b"},
	{"x-portkey-amzn-sagemaker-inference-id", portkey.Headers{SageMaker: portkey.SageMaker{InferenceID: "InferenceID-a"}}, portkey.Headers{SageMaker: portkey.SageMaker{InferenceID: "InferenceID-b"}}, "InferenceID-a", "InferenceID-b"},
	{"x-portkey-amzn-sagemaker-enable-explanations", portkey.Headers{SageMaker: portkey.SageMaker{EnableExplanations: "EnableExplanations-a"}}, portkey.Headers{SageMaker: portkey.SageMaker{EnableExplanations: "EnableExplanations-b"}}, "EnableExplanations-a", "EnableExplanations-b"},
	{"x-portkey-amzn-sagemaker-inference-component", portkey.Headers{SageMaker: portkey.SageMaker{InferenceComponent: "InferenceComponent-a"}}, portkey.Headers{SageMaker: portkey.SageMaker{InferenceComponent: "InferenceComponent-b"}}, "InferenceComponent-a", "InferenceComponent-b"},
	{"x-portkey-amzn-sagemaker-session-id", portkey.Headers{SageMaker: portkey.SageMaker{SessionID: "SessionID-a"}}, portkey.Headers{SageMaker: portkey.SageMaker{SessionID: "SessionID-b"}}, "SessionID-a", "SessionID-b"},
	{"x-portkey-amzn-sagemaker-model-name", portkey.Headers{SageMaker: portkey.SageMaker{ModelName: "ModelName-a"}}, portkey.Headers{SageMaker: portkey.SageMaker{ModelName: "ModelName-b"}}, "ModelName-a", "ModelName-b"},
	{"x-portkey-oracle-api-version", portkey.Headers{Oracle: portkey.Oracle{APIVersion: "APIVersion-a"}}, portkey.Headers{Oracle: portkey.Oracle{APIVersion: "APIVersion-b"}}, "APIVersion-a", "APIVersion-b"},
	{"x-portkey-oracle-region", portkey.Headers{Oracle: portkey.Oracle{Region: "Region-a"}}, portkey.Headers{Oracle: portkey.Oracle{Region: "Region-b"}}, "Region-a", "Region-b"},
	{"x-portkey-oracle-compartment-id", portkey.Headers{Oracle: portkey.Oracle{CompartmentID: "CompartmentID-a"}}, portkey.Headers{Oracle: portkey.Oracle{CompartmentID: "CompartmentID-b"}}, "CompartmentID-a", "CompartmentID-b"},
	{"x-portkey-oracle-serving-mode", portkey.Headers{Oracle: portkey.Oracle{ServingMode: "ServingMode-a"}}, portkey.Headers{Oracle: portkey.Oracle{ServingMode: "ServingMode-b"}}, "ServingMode-a", "ServingMode-b"},
	{"x-portkey-oracle-tenancy", portkey.Headers{Oracle: portkey.Oracle{Tenancy: "Tenancy-a"}}, portkey.Headers{Oracle: portkey.Oracle{Tenancy: "Tenancy-b"}}, "Tenancy-a", "Tenancy-b"},
	{"x-portkey-oracle-user", portkey.Headers{Oracle: portkey.Oracle{User: "User-a"}}, portkey.Headers{Oracle: portkey.Oracle{User: "User-b"}}, "User-a", "User-b"},
	{"x-portkey-oracle-fingerprint", portkey.Headers{Oracle: portkey.Oracle{Fingerprint: "Fingerprint-a"}}, portkey.Headers{Oracle: portkey.Oracle{Fingerprint: "Fingerprint-b"}}, "Fingerprint-a", "Fingerprint-b"},
	{"x-portkey-oracle-private-key", portkey.Headers{Oracle: portkey.Oracle{PrivateKey: "PrivateKey-a"}}, portkey.Headers{Oracle: portkey.Oracle{PrivateKey: "PrivateKey-b"}}, "PrivateKey-a", "PrivateKey-b"},
	{"x-portkey-oracle-key-passphrase", portkey.Headers{Oracle: portkey.Oracle{KeyPassphrase: "KeyPassphrase-a"}}, portkey.Headers{Oracle: portkey.Oracle{KeyPassphrase: "KeyPassphrase-b"}}, "KeyPassphrase-a", "KeyPassphrase-b"},
	{"x-portkey-stability-client-id", portkey.Headers{Stability: portkey.Stability{ClientID: "ClientID-a"}}, portkey.Headers{Stability: portkey.Stability{ClientID: "ClientID-b"}}, "ClientID-a", "ClientID-b"},
	{"x-portkey-stability-client-user-id", portkey.Headers{Stability: portkey.Stability{ClientUserID: "ClientUserID-a"}}, portkey.Headers{Stability: portkey.Stability{ClientUserID: "ClientUserID-b"}}, "ClientUserID-a", "ClientUserID-b"},
	{"x-portkey-stability-client-version", portkey.Headers{Stability: portkey.Stability{ClientVersion: "ClientVersion-a"}}, portkey.Headers{Stability: portkey.Stability{ClientVersion: "ClientVersion-b"}}, "ClientVersion-a", "ClientVersion-b"},
	{"x-portkey-databricks-workspace", portkey.Headers{Databricks: portkey.Databricks{Workspace: "Workspace-a"}}, portkey.Headers{Databricks: portkey.Databricks{Workspace: "Workspace-b"}}, "Workspace-a", "Workspace-b"},
	{"x-portkey-databricks-serving-endpoint-name", portkey.Headers{Databricks: portkey.Databricks{ServingEndpointName: "ServingEndpointName-a"}}, portkey.Headers{Databricks: portkey.Databricks{ServingEndpointName: "ServingEndpointName-b"}}, "ServingEndpointName-a", "ServingEndpointName-b"},
	{"x-portkey-file-purpose", portkey.Headers{Files: portkey.Files{Purpose: "Purpose-a"}}, portkey.Headers{Files: portkey.Files{Purpose: "Purpose-b"}}, "Purpose-a", "Purpose-b"},
	{"x-portkey-model-type", portkey.Headers{Files: portkey.Files{ModelType: "ModelType-a"}}, portkey.Headers{Files: portkey.Files{ModelType: "ModelType-b"}}, "ModelType-a", "ModelType-b"},
	{"x-portkey-file-upload-size", portkey.Headers{Files: portkey.Files{UploadSize: 1}}, portkey.Headers{Files: portkey.Files{UploadSize: 1 << 40}}, "1", "1099511627776"},
	{"x-portkey-provider-file-name", portkey.Headers{Files: portkey.Files{ProviderFileName: "ProviderFileName-a"}}, portkey.Headers{Files: portkey.Files{ProviderFileName: "ProviderFileName-b"}}, "ProviderFileName-a", "ProviderFileName-b"},
	{"x-portkey-provider-model", portkey.Headers{Files: portkey.Files{ProviderModel: "ProviderModel-a"}}, portkey.Headers{Files: portkey.Files{ProviderModel: "ProviderModel-b"}}, "ProviderModel-a", "ProviderModel-b"},
	{"x-portkey-provider-batch-endpoint", portkey.Headers{Files: portkey.Files{ProviderBatchEndpoint: "ProviderBatchEndpoint-a"}}, portkey.Headers{Files: portkey.Files{ProviderBatchEndpoint: "ProviderBatchEndpoint-b"}}, "ProviderBatchEndpoint-a", "ProviderBatchEndpoint-b"},
	{"x-portkey-workers-ai-account-id", portkey.Headers{WorkersAI: portkey.WorkersAI{AccountID: "AccountID-a"}}, portkey.Headers{WorkersAI: portkey.WorkersAI{AccountID: "AccountID-b"}}, "AccountID-a", "AccountID-b"},
	{"x-portkey-huggingface-base-url", portkey.Headers{HuggingFace: portkey.HuggingFace{BaseURL: "BaseURL-a"}}, portkey.Headers{HuggingFace: portkey.HuggingFace{BaseURL: "BaseURL-b"}}, "BaseURL-a", "BaseURL-b"},
	{"x-portkey-mistral-fim-completion", portkey.Headers{Mistral: portkey.Mistral{FIMCompletion: portkey.Bool(true)}}, portkey.Headers{Mistral: portkey.Mistral{FIMCompletion: portkey.Bool(false)}}, "true", "false"},
	{"x-portkey-fireworks-account-id", portkey.Headers{Fireworks: portkey.Fireworks{AccountID: "AccountID-a"}}, portkey.Headers{Fireworks: portkey.Fireworks{AccountID: "AccountID-b"}}, "AccountID-a", "AccountID-b"},
	{"x-portkey-snowflake-account", portkey.Headers{Snowflake: portkey.Snowflake{Account: "Account-a"}}, portkey.Headers{Snowflake: portkey.Snowflake{Account: "Account-b"}}, "Account-a", "Account-b"},
	{"x-portkey-byteplus-region", portkey.Headers{BytePlus: portkey.BytePlus{Region: "Region-a"}}, portkey.Headers{BytePlus: portkey.BytePlus{Region: "Region-b"}}, "Region-a", "Region-b"},
}

// taggedFields calls visit for each field of Headers and its groups that is a header.
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

func TestEveryFieldHasATest(t *testing.T) {
	t.Parallel()
	rows := map[string]int{}
	for _, tt := range fieldTests {
		rows[tt.header]++
		for _, h := range []portkey.Headers{tt.a, tt.b} {
			taggedFields(reflect.ValueOf(h), func(header string, f reflect.Value) {
				if !f.IsZero() != (header == tt.header) {
					t.Errorf("the row of %s sets %s: %v", tt.header, header, !f.IsZero())
				}
			})
		}
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
			t.Errorf("Headers.%s names no header", f.Name)
		}
	}
}

func TestFieldsOnTheWire(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	send := func(opts, ctx portkey.Headers, own http.Header) http.Header {
		c := newClient(t, s, portkey.Options{Headers: opts, NewTraceID: noTrace})
		req := newRequest(t, portkey.WithHeaders(t.Context(), ctx), "GET", s.URL+"/v1/x", "")
		for key, values := range own {
			req.Header[key] = values
		}
		do(t, c, req)
		h := s.last(t).header
		for _, key := range []string{"Accept-Encoding", "User-Agent"} { // net/http's own
			delete(h, key)
		}
		return h
	}
	for _, tt := range fieldTests {
		only := func(value string) http.Header {
			if value == "" {
				return http.Header{}
			}
			return http.Header{http.CanonicalHeaderKey(tt.header): {value}}
		}
		none := portkey.Headers{}
		odd := strings.Replace(tt.header, "a", "A", 1) // a spelling that is not net/http's
		for _, c := range []struct {
			name      string
			got, want http.Header
		}{
			{"in Options", send(tt.a, none, nil), only(tt.wireA)},
			{"in a context", send(none, tt.b, nil), only(tt.wireB)},
			{"in a context over Options", send(tt.a, tt.b, nil), only(tt.wireB)},
			{"on the request over both", send(tt.b, tt.b, http.Header{odd: {tt.wireA}}), only(tt.wireA)},
			{"on the request twice", send(none, none, http.Header{odd: {tt.wireA}, strings.ToUpper(tt.header): {tt.wireA}}), onlyOnce(tt.header, tt.wireA)},
		} {
			if !reflect.DeepEqual(c.got, c.want) {
				t.Errorf("%s %s: got %q, want %q", tt.header, c.name, c.got, c.want)
			}
		}
	}
}

// onlyOnce is what two equal lines of a header become: one, or for a list one of both.
func onlyOnce(header, value string) http.Header {
	switch header {
	case "x-portkey-beta", "x-portkey-forward-headers", "x-portkey-sensitive-headers":
		value += "," + value
	}
	return http.Header{http.CanonicalHeaderKey(header): {value}}
}

func TestMetadataMergesKeyByKey(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{Headers: portkey.Headers{Metadata: portkey.Metadata{"a": "opt", "b": "opt", "c": "opt", "d": "opt"}}})
	ctx := portkey.WithMetadata(t.Context(), portkey.Metadata{"b": "outer", "c": "outer", "d": "outer"})
	ctx = portkey.WithHeaders(ctx, portkey.Headers{Metadata: portkey.Metadata{"c": "inner", "d": "inner", "z": "inner"}})
	req := newRequest(t, ctx, "GET", openAIChat, "")
	req.Header["X-PORTKEY-Metadata"] = []string{`{"d":"own","é":"own"}`}
	do(t, c, req)
	want := []string{`{"a":"opt","b":"outer","c":"inner","d":"own","z":"inner","\u00e9":"own"}`}
	if got := s.last(t).header["X-Portkey-Metadata"]; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestExtraHeaders(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace, Headers: portkey.Headers{
		Debug: portkey.Bool(true),
		Extra: map[string]string{"x-portkey-nitro-mode": "true", "X-Tenant": "opt", "x-kept": "opt", "x-empty": ""},
	}})
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{Extra: map[string]string{
		"X-PORTKEY-NITRO-MODE": "false", "x-portkey-debug": "false", "x-portkey-trace-id": "t1", "x-portkey-metadata": `{"a":"b"}`,
	}})
	req := newRequest(t, ctx, "GET", s.URL+"/v1/x", "")
	req.Header["x-tenant"] = []string{"own"}
	do(t, c, req)
	got := s.last(t).header
	for name, want := range map[string][]string{
		"X-Portkey-Nitro-Mode": {"false"}, "X-Portkey-Debug": {"false"}, "X-Portkey-Trace-Id": {"t1"},
		"X-Portkey-Metadata": {`{"a":"b"}`}, "X-Tenant": {"own"}, "X-Kept": {"opt"}, "X-Empty": nil,
	} {
		if !reflect.DeepEqual(got[name], want) {
			t.Errorf("%s: got %q, want %q", name, got[name], want)
		}
	}
}

const secret = "SYNTHETIC-SECRET"

// badHeaders are Headers that cannot be sent, and the header to blame.
var badHeaders = func() (all []struct {
	header string
	h      portkey.Headers
}) {
	add := func(header string, h portkey.Headers) {
		all = append(all, struct {
			header string
			h      portkey.Headers
		}{header, h})
	}
	// Each text field with each kind of text that is no header's value.
	for _, bad := range []string{secret + "\n", secret + "\r\nX-Evil: 1", "\x00" + secret, secret + "\x7f", "\t" + secret, " " + secret, secret + " ", secret + "é"} {
		var h portkey.Headers
		taggedFields(reflect.ValueOf(&h).Elem(), func(header string, f reflect.Value) {
			h = portkey.Headers{}
			switch f.Interface().(type) {
			case string:
				f.SetString(bad)
			case []string:
				if bad[0] == ' ' {
					return // a blank behind a comma is no harm
				}
				f.Set(reflect.ValueOf([]string{"X-Good", bad + "x"}))
			case portkey.Config:
				f.Set(reflect.ValueOf(portkey.ConfigSlug(bad)))
			default:
				if header == "x-portkey-config" {
					f.Set(reflect.ValueOf(portkey.ConfigSlug(bad)))
					break
				}
				return
			}
			add(header, h)
		})
		add("x-portkey-new", portkey.Headers{Extra: map[string]string{"X-Portkey-New": bad}})
	}
	long := secret + strings.Repeat("é", 129-len(secret))
	add("x-portkey-metadata", portkey.Headers{Metadata: portkey.Metadata{"k": long}})
	add("x-portkey-metadata", portkey.Headers{Metadata: portkey.Metadata{"k": secret + "\xff"}})
	add("x-portkey-metadata", portkey.Headers{Metadata: portkey.Metadata{"\xff": "v"}})
	add("x-portkey-metadata", portkey.Headers{Extra: map[string]string{"x-portkey-metadata": "_user=" + secret}})
	for _, text := range []string{secret, `{"api_key":"` + secret, `["` + secret + `"]`, `{} ` + secret, "{\"a\":\"" + secret + "\xff\"}", `"` + secret + `"`} {
		add("x-portkey-config", portkey.Headers{Config: portkey.ConfigJSON(text)})
	}
	add("x-portkey-config", portkey.Headers{Config: portkey.ConfigSlug(`{"api_key":"` + secret + `"}`)})
	for _, name := range []string{"x-portkey-api-key", "X-Portkey-Forward-Headers", "x-portkey-" + secret, "Metadata-Flavor",
		"x-aws-ec2-metadata-token", "X-Google-Metadata-Request", "Content-Length", "", "a b", "a;" + secret} {
		add("x-portkey-forward-headers", portkey.Headers{ForwardHeaders: []string{"X-Good", name}})
	}
	add("x-portkey-vertex-service-account-json", portkey.Headers{Vertex: portkey.Vertex{ServiceAccountJSON: "/etc/" + secret + ".json"}})
	add("x-portkey-file-upload-size", portkey.Headers{Files: portkey.Files{UploadSize: -1}})
	add("x-portkey-sensitive-headers", portkey.Headers{SensitiveHeaders: []string{"a:" + secret}})
	for _, d := range []time.Duration{-1, -time.Second, (math.MaxInt32 + 1) * time.Millisecond, math.MaxInt32*time.Millisecond + 1, math.MaxInt64, math.MinInt64} {
		add("x-portkey-request-timeout", portkey.Headers{RequestTimeout: d})
	}
	for _, url := range []string{secret, "ftp://" + secret, "https://u:" + secret + "@h", "http://", "//" + secret, "https://h/" + strings.Repeat("x", 2048)} {
		add("x-portkey-custom-host", portkey.Headers{CustomHost: url})
	}
	add("x-portkey-debug", portkey.Headers{Debug: portkey.Bool(true), Extra: map[string]string{"x-portkey-debug": secret}})
	add("x-two", portkey.Headers{Extra: map[string]string{"X-Two": "1", "x-two": secret}})
	for _, name := range []string{"Host", "content-length", "Transfer-Encoding", "connection"} {
		add(strings.ToLower(name), portkey.Headers{Extra: map[string]string{name: secret}})
	}
	for _, name := range []string{"", "a b", "a:b", "a\n" + secret, "é" + secret} {
		add("Extra", portkey.Headers{Extra: map[string]string{name: "v"}})
	}
	return all
}()

func TestBadHeadersFailInNewTransport(t *testing.T) {
	t.Parallel()
	for _, tt := range badHeaders {
		_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Headers: tt.h})
		checkHeaderError(t, err, tt.header)
	}
}

func TestBadHeadersInAContextFailTheCall(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example"})
	for _, tt := range badHeaders {
		body := newCountingBody()
		ctx := portkey.WithHeaders(t.Context(), tt.h)
		ctx = portkey.WithTrace(portkey.WithMetadata(ctx, portkey.Metadata{"fine": "1"}), "fine")
		req := newRequest(t, ctx, "POST", openAIChat, "")
		req.Body = body
		_, err := tr.RoundTrip(req)
		checkHeaderError(t, err, tt.header)
		if got := body.closed.Load(); got != 1 {
			t.Errorf("%s: body closed %d times, want 1", tt.header, got)
		}
	}
}

func TestBadPortkeyHeadersOnTheRequestFailTheCall(t *testing.T) {
	t.Parallel()
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: "http://gw.example"})
	for _, h := range []struct {
		header string
		own    http.Header
	}{
		{"x-portkey-trace-id", http.Header{"X-Portkey-Trace-Id": {secret + "\n"}}},
		{"x-portkey-trace-id", http.Header{"X-Portkey-Trace-Id": {"a", secret}}},
		{"x-portkey-config", http.Header{"X-Portkey-Config": {"pc-1"}, "x-portkey-config": {"{" + secret}}},
		{"x-portkey-config", http.Header{"X-Portkey-Config": {"{" + secret}}},
		{"x-portkey-metadata", http.Header{"x-portkey-metadata": {"_user=" + secret}}},
		{"x-portkey-metadata", http.Header{"x-portkey-metadata": {`{"a":{"b":"` + secret + `"}}`}}},
		{"x-portkey-metadata", http.Header{"x-portkey-metadata": {`{"a":null}`}}},
		{"x-portkey-metadata", http.Header{"x-portkey-metadata": {`null`}}},
		{"x-portkey-forward-headers", http.Header{"X-Portkey-Forward-Headers": {"X-A", "x-portkey-api-key"}}},
		{"x-portkey-request-timeout", http.Header{"X-Portkey-Request-Timeout": {"3s"}}},
		{"x-portkey-*", http.Header{"X-Portkey-A B": {"x"}}},
	} {
		body := newCountingBody()
		req := newRequest(t, t.Context(), "POST", openAIChat, "")
		req.Header, req.Body = h.own, body
		_, err := tr.RoundTrip(req)
		checkHeaderError(t, err, h.header)
		if got := body.closed.Load(); got != 1 {
			t.Errorf("%s: body closed %d times, want 1", h.header, got)
		}
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
	if !strings.HasPrefix(text, "portkey: ") || !strings.Contains(text, "invalid header") || !strings.Contains(text, header) {
		t.Errorf("got %q, want it to name %s as an invalid header", text, header)
	}
	if strings.Contains(text, secret) {
		t.Errorf("the error shows the value: %q", text)
	}
}

func TestMetadataOf128CharactersIsSent(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	ctx := portkey.WithMetadata(t.Context(), portkey.Metadata{"k": strings.Repeat("é", 128)})
	do(t, newClient(t, s, portkey.Options{}), newRequest(t, ctx, "GET", openAIChat, ""))
	if got, want := s.last(t).header.Get("X-Portkey-Metadata"), `{"k":"`+strings.Repeat(`\u00e9`, 128)+`"}`; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOptionsAreCopied(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	h := portkey.Headers{
		Metadata: portkey.Metadata{"a": "1"}, ForwardHeaders: []string{"X-A"}, Debug: portkey.Bool(true),
		Extra: map[string]string{"X-E": "1"},
	}
	c := newClient(t, s, portkey.Options{Headers: h, NewTraceID: noTrace})
	ctx := portkey.WithHeaders(t.Context(), h)
	check := func() {
		t.Helper()
		want := http.Header{"X-Portkey-Metadata": {`{"a":"1"}`}, "X-Portkey-Forward-Headers": {"X-A"}, "X-Portkey-Debug": {"true"}, "X-Portkey-Provider": {"openai"}}
		for _, ctx := range []context.Context{t.Context(), ctx} {
			do(t, c, newRequest(t, ctx, "GET", openAIChat, ""))
			if got := s.last(t).portkeyHeaders(); !reflect.DeepEqual(got, want) || s.last(t).header.Get("X-E") != "1" {
				t.Errorf("got %v, want %v", s.last(t).header, want)
			}
		}
	}
	check()
	h.Metadata["a"], h.ForwardHeaders[0], *h.Debug, h.Extra["X-E"] = "2", "X-B", false, "2"
	check()
}

func TestClientsCredentialIsDroppedWhenPortkeyHoldsOne(t *testing.T) {
	t.Parallel()
	client := http.Header{"authorization": {"Bearer client"}, "X-Api-Key": {"client"}, "Api-Key": {"client"}}
	kept := http.Header{"Authorization": {"Bearer client"}, "X-Api-Key": {"client"}, "Api-Key": {"client"}}
	tests := []struct {
		name string
		h    portkey.Headers
		want http.Header
	}{
		{"nothing said", portkey.Headers{}, kept},
		{"plain provider", portkey.Headers{Provider: "groq"}, kept},
		{"saved config", portkey.Headers{Config: portkey.ConfigSlug("pc-1")}, kept},
		{"config of retries", portkey.Headers{Config: portkey.ConfigJSON(`{"retry":{"attempts":1}}`)}, kept},
		{"virtual key", portkey.Headers{VirtualKey: "vk"}, http.Header{}},
		{"provider slug", portkey.Headers{Provider: "@team"}, http.Header{}},
		{"config with a provider", portkey.Headers{Config: portkey.ConfigJSON(`{"provider":"groq","api_key":"k"}`)}, http.Header{}},
		{"config with targets", portkey.Headers{Config: portkey.ConfigJSON(`{"targets":[]}`)}, http.Header{}},
		{"config with a model of Portkey's catalog", portkey.Headers{Config: portkey.ConfigJSON(`{"override_params":{"model":"@team/m"}}`)}, http.Header{}},
		{"config with a virtual key", portkey.Headers{Config: portkey.ConfigJSON(`{"virtual_key":"vk"}`)}, http.Header{}},
		{"forwarded", portkey.Headers{VirtualKey: "vk", ForwardHeaders: []string{"x-a", "x-api-KEY"}}, http.Header{"X-Api-Key": {"client"}}},
		{"set on purpose", portkey.Headers{VirtualKey: "vk", Authorization: "Bearer own"}, http.Header{"Authorization": {"Bearer own"}}},
	}
	for _, level := range []string{"Options", "context"} {
		for _, tt := range tests {
			s := newServer(t, nil)
			ctx, opts := t.Context(), portkey.Options{}
			if level == "Options" {
				opts.Headers = tt.h
			} else {
				ctx = portkey.WithHeaders(ctx, tt.h)
			}
			req := newRequest(t, ctx, "GET", openAIChat, "")
			req.Header = client.Clone()
			do(t, newClient(t, s, opts), req)
			got := http.Header{}
			for key := range kept {
				if v := s.last(t).header[key]; v != nil {
					got[key] = v
				}
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("%s in %s: got %v, want %v", tt.name, level, got, tt.want)
			}
		}
	}
	t.Run("by an upstream", func(t *testing.T) {
		s := newServer(t, nil)
		req := newRequest(t, t.Context(), "GET", "https://llm.example.com/v1/x", "")
		req.Header = client.Clone()
		do(t, newClient(t, s, portkey.Options{Upstreams: []portkey.Upstream{{BaseURL: "https://llm.example.com/v1", Provider: "@mine"}}}), req)
		if got := s.last(t).header; got.Get("Authorization") != "" || got.Get("X-Portkey-Provider") != "@mine" {
			t.Errorf("got %v, want @mine and no Authorization", got)
		}
	})
	t.Run("on the request", func(t *testing.T) {
		s := newServer(t, nil)
		req := newRequest(t, t.Context(), "GET", openAIChat, "")
		req.Header = client.Clone()
		req.Header["x-portkey-virtual-key"] = []string{"vk"}
		do(t, newClient(t, s, portkey.Options{}), req)
		if got := s.last(t).header.Get("Authorization"); got != "" {
			t.Errorf("got %q, want no Authorization", got)
		}
	})
}

func TestEmptyHeaderOnTheRequestIsNone(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{NewTraceID: noTrace, Headers: portkey.Headers{Authorization: "Bearer opt", SpanID: "opt"}})
	for _, spelling := range []func(string) string{http.CanonicalHeaderKey, strings.ToLower} {
		req := newRequest(t, t.Context(), "GET", s.URL+"/v1/x", "")
		req.Header[spelling("authorization")] = []string{""}
		req.Header[spelling("x-portkey-span-id")] = []string{""}
		req.Header[spelling("x-portkey-debug")] = []string{""}
		do(t, c, req)
		got := s.last(t).header
		if a := got.Values("Authorization"); !reflect.DeepEqual(a, []string{"Bearer opt"}) {
			t.Errorf("got Authorization %q, want that of Options", a)
		}
		if h, want := s.last(t).portkeyHeaders(), (http.Header{"X-Portkey-Span-Id": {"opt"}}); !reflect.DeepEqual(h, want) {
			t.Errorf("got %v, want %v", h, want)
		}
	}
}

func TestCacheForceRefreshOnTheRequestIsSentOnlyWhenTrue(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	c := newClient(t, s, portkey.Options{Headers: portkey.Headers{CacheForceRefresh: portkey.Bool(true)}})
	for value, want := range map[string][]string{"true": {"true"}, "True": {"true"}, "false": nil, "False": nil} {
		req := newRequest(t, t.Context(), "GET", s.URL+"/v1/x", "")
		req.Header.Set("X-Portkey-Cache-Force-Refresh", value)
		do(t, c, req)
		if got := s.last(t).header["X-Portkey-Cache-Force-Refresh"]; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", value, got, want)
		}
	}
}

func TestHeaderThatNoGatewayTakesIsRefused(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	config := func(size int) portkey.Headers {
		return portkey.Headers{Config: portkey.ConfigJSON(`{"api_key":"` + strings.Repeat("k", size) + `"}`)}
	}
	const want = " in the whole header, and gateways take 16384: save the config at Portkey and send its slug"
	_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: s.URL, Headers: config(20000 - len("X-Portkey-Config"))})
	checkHeaderError(t, err, "x-portkey-config")
	if !strings.Contains(fmt.Sprint(err), " is 20018 bytes of 20018"+want) {
		t.Errorf("got %v, want it to say the size and what to do", err)
	}

	c := newClient(t, s, portkey.Options{})
	do(t, c, newRequest(t, portkey.WithHeaders(t.Context(), config(15000)), "GET", openAIChat, ""))
	tr := newTransport(t, notCalled(t), portkey.Options{BaseURL: s.URL})
	_, err = tr.RoundTrip(newRequest(t, portkey.WithHeaders(t.Context(), config(17000)), "GET", openAIChat, ""))
	checkHeaderError(t, err, "x-portkey-config")

	// Without a large header of ours it is the caller's affair.
	req := newRequest(t, t.Context(), "GET", s.URL+"/v1/x", "")
	req.Header.Set("X-Large", strings.Repeat("x", 17000))
	do(t, newClient(t, s, portkey.Options{NewTraceID: noTrace}), req)
}

func TestAPIKeyInExtraGoesBeforeTheEnvironment(t *testing.T) {
	s := newServer(t, nil)
	t.Setenv("PORTKEY_API_KEY", "pk-env")
	c := newClient(t, s, portkey.Options{Headers: portkey.Headers{Extra: map[string]string{"x-portkey-api-key": "pk-extra"}}})
	do(t, c, newRequest(t, t.Context(), "GET", openAIChat, ""))
	if got := s.last(t).header.Values("X-Portkey-Api-Key"); !reflect.DeepEqual(got, []string{"pk-extra"}) {
		t.Errorf("got %q, want pk-extra", got)
	}
	c = newClient(t, s, portkey.Options{Headers: portkey.Headers{Extra: map[string]string{"x-portkey-api-key": ""}}})
	do(t, c, newRequest(t, t.Context(), "GET", openAIChat, ""))
	if got := s.last(t).header.Values("X-Portkey-Api-Key"); !reflect.DeepEqual(got, []string{"pk-env"}) {
		t.Errorf("got %q for an empty one, want pk-env", got)
	}
}

// Somebody's own type can be a Config by embedding one. It would print what it holds.
func TestForeignConfigIsRefused(t *testing.T) {
	t.Parallel()
	type foreign struct{ portkey.Config }
	for _, c := range []portkey.Config{foreign{portkey.ConfigJSON(`{"api_key":"` + secret + `"}`)}, &foreign{portkey.ConfigSlug("pc-1")}} {
		h := portkey.Headers{Config: c}
		_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Headers: h})
		checkHeaderError(t, err, "x-portkey-config")
		if got := fmt.Sprint(h); strings.Contains(got, secret) {
			t.Errorf("got %s printed", got)
		}
	}
}

func TestConfigMayBeAPointer(t *testing.T) {
	t.Parallel()
	s := newServer(t, nil)
	slug, text, object := portkey.ConfigSlug("pc-1"), portkey.ConfigJSON(`{"retry":{"attempts":1}}`), portkey.ConfigObject{Retry: &portkey.Retry{Attempts: 1}}
	var none *portkey.ConfigObject
	for _, tt := range []struct {
		c    portkey.Config
		want []string
	}{{new(portkey.ConfigSlug), nil}, {&portkey.ConfigObject{}, nil}, {&slug, []string{"pc-1"}}, {&text, []string{string(text)}}, {&object, []string{string(text)}}, {none, nil}, {portkey.ConfigSlug(""), nil}} {
		ctx := portkey.WithHeaders(t.Context(), portkey.Headers{Config: tt.c})
		do(t, newClient(t, s, portkey.Options{}), newRequest(t, ctx, "GET", openAIChat, ""))
		if got := s.last(t).header["X-Portkey-Config"]; !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%T: got %q, want %q", tt.c, got, tt.want)
		}
	}
}

func TestFalseLeavesNoTraceInTheHeader(t *testing.T) {
	t.Parallel()
	var got http.Header
	tr := newTransport(t, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		got = r.Header
		return nil, io.EOF
	}), portkey.Options{BaseURL: "http://gw.example", NewTraceID: noTrace, Headers: portkey.Headers{CacheForceRefresh: portkey.Bool(true)}})
	ctx := portkey.WithHeaders(t.Context(), portkey.Headers{CacheForceRefresh: portkey.Bool(false)})
	tr.RoundTrip(newRequest(t, ctx, "GET", "http://gw.example", ""))
	if len(got) != 0 {
		t.Errorf("got %v, want an empty header", got)
	}
}

// sentHeader returns the header that the base is given for a request of header own.
func sentHeader(t *testing.T, opts, ctx portkey.Headers, own http.Header) (got http.Header, err error) {
	t.Helper()
	tr := newTransport(t, roundTripperFunc(func(r *http.Request) (*http.Response, error) {
		got = r.Header
		return nil, io.EOF
	}), portkey.Options{BaseURL: "http://gw.example/v1", Headers: opts, NewTraceID: noTrace})
	req := newRequest(t, portkey.WithHeaders(t.Context(), ctx), "GET", "http://gw.example/v1/x", "")
	req.Header = own
	if _, err = tr.RoundTrip(req); err == io.EOF {
		err = nil
	}
	return got, err
}

func TestHeaderSentOverLowerLevels(t *testing.T) {
	t.Parallel()
	extra := func(name, value string) portkey.Headers {
		return portkey.Headers{Extra: map[string]string{name: value}}
	}
	none := portkey.Headers{}
	long := "https://h/" + strings.Repeat("x", 2048-len("https://h/"))
	const token = "!#$%&'*+-.^_`|~azAZ09"
	tests := []struct {
		name      string
		opts, ctx portkey.Headers
		own, want http.Header
	}{
		{"Extra of a context, in another spelling on the request", none, extra("X-Tenant", "ctx"), http.Header{"x-tenant": {"own"}}, http.Header{"X-Tenant": {"own"}}},
		{"Extra, on the request with bytes that are not ASCII", extra("X-Tenant", "opt"), none, http.Header{"x-tenant": {"\xe9"}}, http.Header{"X-Tenant": {"\xe9"}}},
		{"empty Extra does not override", extra("X-Tenant", "opt"), extra("x-tenant", ""), nil, http.Header{"X-Tenant": {"opt"}}},
		{"empty on the request does not override", portkey.Headers{TraceID: "t1", SpanID: "s1"}, none,
			http.Header{"X-Portkey-Trace-Id": {""}, "X-Portkey-Span-Id": {"", ""}, "x-portkey-debug": {}},
			http.Header{"X-Portkey-Trace-Id": {"t1"}, "X-Portkey-Span-Id": {"s1"}}},
		{"empty names in a list on the request", none, none, http.Header{"X-Portkey-Forward-Headers": {"x-a,, x-b,", ","}, "X-Portkey-Beta": {","}}, http.Header{"X-Portkey-Forward-Headers": {"x-a, x-b"}}},
		{"empty and a value on the request", portkey.Headers{SpanID: "s1"}, none, http.Header{"X-Portkey-Span-Id": {"", "s2"}}, http.Header{"X-Portkey-Span-Id": {"s2"}}},
		{"empty slices and maps are not set", portkey.Headers{ForwardHeaders: []string{"X-A"}},
			portkey.Headers{ForwardHeaders: []string{}, SensitiveHeaders: []string{}, Metadata: portkey.Metadata{}, Extra: map[string]string{}},
			nil, http.Header{"X-Portkey-Forward-Headers": {"X-A"}}},
		{"any token is a name", none, extra(token, "1"), nil, http.Header{http.CanonicalHeaderKey(token): {"1"}}},
		{"a name that only begins like Portkey's", none, none, http.Header{"x-portkeyring": {"1", "2"}}, http.Header{"x-portkeyring": {"1", "2"}}},
		{"the longest timeout", portkey.Headers{RequestTimeout: math.MaxInt32 * time.Millisecond}, none, nil, http.Header{"X-Portkey-Request-Timeout": {"2147483647"}}},
		{"the longest custom host", portkey.Headers{CustomHost: long}, none, nil, http.Header{"X-Portkey-Custom-Host": {long}}},
		{"sensitive headers may be any", portkey.Headers{SensitiveHeaders: []string{"x-portkey-api-key", "content-length"}}, none, nil,
			http.Header{"X-Portkey-Sensitive-Headers": {"x-portkey-api-key,content-length"}}},
		{"a config object after white space", portkey.Headers{Config: portkey.ConfigJSON("\n\t\r {\"retry\":{\"attempts\":1}}")}, none, nil,
			http.Header{"X-Portkey-Config": {`{"retry":{"attempts":1}}`}}},
		{"metadata at the edges of what is escaped", portkey.Headers{Metadata: portkey.Metadata{"k": "\x1f ~\x7f\uffff\U00010000"}}, none, nil,
			http.Header{"X-Portkey-Metadata": {`{"k":"\u001f ~\u007f\uffff\ud800\udc00"}`}}},

		{"the client's credential beside a provider that replaces a slug", portkey.Headers{Provider: "@team"}, portkey.Headers{Provider: "groq"},
			http.Header{"Authorization": {"Bearer sk"}}, http.Header{"Authorization": {"Bearer sk"}, "X-Portkey-Provider": {"groq"}}},
		{"the client's credential beside an @ that is no slug", portkey.Headers{Provider: "a@b"}, none,
			http.Header{"Authorization": {"Bearer sk"}}, http.Header{"Authorization": {"Bearer sk"}, "X-Portkey-Provider": {"a@b"}}},
		{"the credentials of two levels", portkey.Headers{VirtualKey: "vk", Authorization: "Bearer opt"}, portkey.Headers{Authorization: "Bearer ctx"},
			http.Header{"Authorization": {"Bearer client"}}, http.Header{"Authorization": {"Bearer ctx"}, "X-Portkey-Virtual-Key": {"vk"}}},
		{"the client's credential, forwarded by the request with blanks", portkey.Headers{VirtualKey: "vk"}, none,
			http.Header{"X-Portkey-Forward-Headers": {"x-a, x-api-key"}, "X-Api-Key": {"sk"}},
			http.Header{"X-Portkey-Forward-Headers": {"x-a, x-api-key"}, "X-Api-Key": {"sk"}, "X-Portkey-Virtual-Key": {"vk"}}},
		{"Google's credential", portkey.Headers{VirtualKey: "vk"}, none, http.Header{"X-Goog-Api-Key": {"sk"}}, http.Header{"X-Portkey-Virtual-Key": {"vk"}}},
	}
	for _, tt := range tests {
		got, err := sentHeader(t, tt.opts, tt.ctx, tt.own)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %q, %v, want %q", tt.name, got, err, tt.want)
		}
	}
}

func TestCredentialOnTheRequestInTwoSpellingsFails(t *testing.T) {
	t.Parallel()
	_, err := sentHeader(t, portkey.Headers{}, portkey.Headers{}, http.Header{"Authorization": {secret}, "authorization": {"other"}})
	checkHeaderError(t, err, "authorization")
}

func TestMoreBadHeaders(t *testing.T) {
	t.Parallel()
	type bad = struct {
		header string
		h      portkey.Headers
	}
	all := []bad{
		{"x-portkey-span-id", portkey.Headers{SpanID: secret + "\x1f"}},
		{"x-portkey-span-id", portkey.Headers{SpanID: secret + "\x80"}},
		{"x-portkey-trace-id", portkey.Headers{TraceID: "t", Extra: map[string]string{"x-portkey-trace-id": secret}}},
		{"x-portkey-metadata", portkey.Headers{Metadata: portkey.Metadata{"a": "1"}, Extra: map[string]string{"x-portkey-metadata": `{"b":"` + secret + `"}`}}},
		{"x-portkey-custom-host", portkey.Headers{CustomHost: "https://h/" + strings.Repeat("x", 2049-len("https://h/"))}},
	}
	for _, name := range []string{"Expect", "Keep-Alive", "proxy-connection", "TE", "trailer", "upgrade"} {
		all = append(all, bad{strings.ToLower(name), portkey.Headers{Extra: map[string]string{name: secret}}})
	}
	for _, tt := range all {
		_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Headers: tt.h})
		checkHeaderError(t, err, tt.header)
		_, err = sentHeader(t, portkey.Headers{}, tt.h, nil)
		checkHeaderError(t, err, tt.header)
	}
	for header, own := range map[string]http.Header{
		"x-portkey-metadata": {"X-Portkey-Metadata": {`{"k":"` + strings.Repeat("x", 129) + `"}`}},
		"x-portkey-span-id":  {"X-Portkey-Span-Id": {secret + "\x80"}},
	} {
		_, err := sentHeader(t, portkey.Headers{}, portkey.Headers{}, own)
		checkHeaderError(t, err, header)
	}
}

func TestFaultsAreReportedInOrder(t *testing.T) {
	t.Parallel()
	for range 20 {
		_, err := portkey.NewTransport(nil, portkey.Options{BaseURL: "http://gw.example", Headers: portkey.Headers{
			Extra: map[string]string{"x-b": "\n", "x-a": "\n", "x-c": "\n"},
		}})
		var headerErr *portkey.HeaderError
		if !errors.As(err, &headerErr) || headerErr.Name != "x-a" {
			t.Fatalf("got %v, want x-a named", err)
		}
	}
}

// A place is where a caller can put a string: name is used by those that have names.
type place struct {
	header func(name string) string // on the wire
	in     func(name, value string) portkey.Headers
}

// places are the text and list fields of Headers, and what has a name.
var places = func() (all []place) {
	taggedFields(reflect.ValueOf(portkey.Headers{}), func(header string, f reflect.Value) {
		if !slices.Contains([]reflect.Kind{reflect.String, reflect.Slice, reflect.Interface}, f.Kind()) {
			return
		}
		all = append(all, place{func(string) string { return header }, func(_, value string) (h portkey.Headers) {
			taggedFields(reflect.ValueOf(&h).Elem(), func(other string, f reflect.Value) {
				if other != header || value == "" {
					return
				}
				switch f.Interface().(type) {
				case string:
					f.SetString(value)
				case []string:
					f.Set(reflect.ValueOf([]string{value}))
				default:
					f.Set(reflect.ValueOf(portkey.ConfigJSON(value)))
				}
			})
			return h
		}})
	})
	return append(all,
		place{func(string) string { return "x-portkey-config" }, func(_, value string) portkey.Headers {
			return portkey.Headers{Config: portkey.ConfigSlug(value)}
		}},
		place{func(string) string { return "x-portkey-metadata" }, func(name, value string) portkey.Headers {
			return portkey.Headers{Metadata: portkey.Metadata{name: value}}
		}},
		place{func(name string) string { return name }, func(name, value string) portkey.Headers {
			return portkey.Headers{Extra: map[string]string{name: value}}
		}},
	)
}()

// Any string, anywhere, is a HeaderError or arrives: as it is, in one line, and
// with no other.
func FuzzHeaderValue(f *testing.F) {
	values := []string{"", "plain", " blank", "new\nline", "a\r\nx-evil: 1", "a\r\n\r\nGET / HTTP/1.1\r\n\r\n", "é", "a\x7f", "\t", "X-A,x-b", "x-portkey-api-key", `{"a":"é\n"}`, "http://h/v1", "5", "true"}
	for i := range places {
		f.Add(uint8(i), uint8(i/len(values)), "x-extra", values[i%len(values)])
	}
	for i, value := range values {
		f.Add(uint8(len(places)-1), uint8(i), value, "v")
		f.Add(uint8(len(places)-2), uint8(i), value, value)
	}
	arrived := make(chan *http.Request, 9)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { arrived <- r }))
	f.Cleanup(s.Close)
	base := &http.Transport{DisableCompression: true}
	f.Cleanup(base.CloseIdleConnections)

	f.Fuzz(func(t *testing.T, at, level uint8, name, value string) {
		if len(name)+len(value) > 1<<15 {
			return // the server has a limit of its own
		}
		p := places[int(at)%len(places)]
		opts := portkey.Options{BaseURL: s.URL, NewTraceID: noTrace}
		ctx, own := t.Context(), http.Header{}
		key := p.header(name)
		switch levels[int(level)%len(levels)] {
		case "Options":
			opts.Headers = p.in(name, value)
		case "WithHeaders":
			ctx = portkey.WithHeaders(ctx, p.in(name, value))
		case "the other With functions":
			ctx, key = portkey.WithTrace(ctx, value), "x-portkey-trace-id"
			if at%2 == 0 {
				ctx, key = portkey.WithMetadata(t.Context(), portkey.Metadata{name: value}), "x-portkey-metadata"
			}
		case "NewTraceID":
			opts.NewTraceID, key = func(context.Context) string { return value }, "x-portkey-trace-id"
		case "the request":
			if !strings.HasPrefix(key, "x-portkey-") {
				key = "x-portkey-" + key
			}
			own[key] = []string{value}
		}
		tr, err := portkey.NewTransport(base, opts)
		if err == nil {
			req := newRequest(t, ctx, "GET", s.URL+"/v1/x", "")
			req.Header = own
			var resp *http.Response
			if resp, err = tr.RoundTrip(req); err == nil {
				resp.Body.Close()
			}
		}
		if err != nil {
			if headerErr := new(*portkey.HeaderError); !errors.As(err, headerErr) || len(arrived) > 0 {
				t.Errorf("%s %q: got %v with %d requests sent, want a HeaderError and none", key, value, err, len(arrived))
			}
			return
		}
		r := <-arrived
		if len(arrived) > 0 || r.RequestURI != "/v1/x" || "http://"+r.Host != s.URL {
			t.Errorf("%s %q: got %s at %s and %d requests more", key, value, r.RequestURI, r.Host, len(arrived))
		}
		key = http.CanonicalHeaderKey(key)
		lines := r.Header[key]
		delete(r.Header, key)
		if agent := r.Header["User-Agent"]; key != "User-Agent" && slices.Equal(agent, []string{"Go-http-client/1.1"}) {
			delete(r.Header, "User-Agent") // net/http's own
		}
		if len(r.Header) > 0 {
			t.Errorf("%s %q: got also %q", key, value, r.Header)
		}
		checkArrived(t, key, name, value, lines)
	})
}

// levels are the ways to a place.
var levels = []string{"Options", "WithHeaders", "the other With functions", "NewTraceID", "the request"}

func checkArrived(t *testing.T, key, name, value string, lines []string) {
	t.Helper()
	if value == "" && lines == nil {
		return // what is empty is not set
	}
	got := strings.Join(lines, "\n")
	same := got == value
	switch key {
	case "X-Portkey-Metadata":
		if lines == nil {
			got = "{}" // is nothing too
		}
		md := map[string]string{}
		same = json.Unmarshal([]byte(got), &md) == nil && reflect.DeepEqual(md, map[string]string{name: value}) ||
			strings.HasPrefix(strings.TrimLeft(value, " \t\r\n"), "{") && sameJSON(t, got, value) // whole, in Extra or on the request
	case "X-Portkey-Config", "X-Portkey-Vertex-Service-Account-Json":
		same = same || strings.Contains(value, "{") && sameJSON(t, got, value)
	case "X-Portkey-Beta", "X-Portkey-Forward-Headers", "X-Portkey-Sensitive-Headers":
		same = same || strings.Join(listed(got), ",") == strings.Join(listed(value), ",")
	case "X-Portkey-Cache-Force-Refresh":
		same = got == strings.TrimPrefix(strings.ToLower(value), "false")
	}
	if !same || len(lines) > 1 {
		t.Errorf("%s: got %q, want %q", key, lines, value)
	}
}

func listed(value string) []string {
	return strings.FieldsFunc(value, func(r rune) bool { return r == ',' || r == ' ' })
}
