package portkey

import (
	"net/http"
	"time"
)

// Headers is one set of Portkey's parameters. [Options] has one for all requests,
// and [WithHeaders] takes one for a call. Each field is sent as one header, whose
// name is in the field's tag.
//
// A field with its zero value is not sent and does not override other levels. A
// field whose zero value would be meaningful is a pointer: see [Ptr].
//
// Values must be printable ASCII without spaces at either end: the gateway decodes
// headers as Latin-1. Other characters are allowed in Metadata and in a Config,
// where they are escaped. A value that cannot be sent causes a [*HeaderError].
//
// Headers contains secrets. When it is printed with fmt, logged with log/slog or
// encoded as JSON, YAML, TOML or XML, it shows its headers, with secret values
// redacted. SECURITY.md lists the printers that show the values.
//
// Portkey documents the parameters at
// https://portkey.ai/docs/api-reference/inference-api/headers.
type Headers struct {
	// APIKey is the Portkey API key, or a JWT, without "Bearer". In Options, the
	// default is $PORTKEY_API_KEY.
	APIKey string `header:"x-portkey-api-key,secret"`

	// VirtualKey is the slug of a provider key that is saved at Portkey. In newer
	// accounts, use Provider with an "@slug" instead.
	VirtualKey string `header:"x-portkey-virtual-key,secret"`

	// Provider is the name of a provider ("openai"), or the slug of a provider that
	// is saved at Portkey ("@openai-prod"). The default is the provider whose base
	// URL the client uses.
	Provider string `header:"x-portkey-provider"`

	// Authorization is the provider's credential with its scheme: "Bearer sk-...". An API
	// key without a scheme is an error; any other token is sent as it is.
	//
	// In [WithHeaders] it replaces the credential that the client sends, in the header or
	// query parameter that the client uses and in its form: for a service with a key for
	// each tenant. In Options it is only for clients that send no credential, unless
	// Options.IgnoreRequestHeaders is set. It is not sent if a context within, or the
	// request, has a saved provider, a virtual key or a config that names a provider: the
	// credential may be for another one. It is sent if that only has another Provider.
	Authorization string `header:"authorization,secret"`

	// Config is a gateway config: a [ConfigSlug], [ConfigObject] or [ConfigJSON].
	Config Config `header:"x-portkey-config"`

	// CustomHost is the base URL, with its version path, of a provider that is hosted
	// elsewhere ("https://llm.example.com/v1"). It is http or https, and contains no
	// credentials.
	CustomHost string `header:"x-portkey-custom-host"`

	// TraceID identifies the trace that the call belongs to. The default is the
	// trace-id of the request's traceparent header, or else Options.NewTraceID.
	TraceID string `header:"x-portkey-trace-id"`

	// SpanID identifies the call within its trace.
	SpanID string `header:"x-portkey-span-id"`

	// SpanName is the name of the span in Portkey's trace view.
	SpanName string `header:"x-portkey-span-name"`

	// ParentSpanID identifies the parent span. If the trace ID comes from a
	// traceparent header, the default is that header's parent-id.
	ParentSpanID string `header:"x-portkey-parent-span-id"`

	// Metadata labels the call: Portkey's logs can be filtered by it, and conditions of
	// a config can compare it. It is sent as a JSON object.
	Metadata Metadata `header:"x-portkey-metadata"`

	// CacheForceRefresh makes the gateway call the provider and cache the new
	// response. Only true is sent, because the gateway ignores the header's value;
	// false overrides true at a lower level.
	CacheForceRefresh *bool `header:"x-portkey-cache-force-refresh"`

	// CacheNamespace partitions the gateway's cache.
	CacheNamespace string `header:"x-portkey-cache-namespace"`

	// RequestTimeout is how long the gateway waits for the provider's response to
	// begin; then it responds with status 408. It is rounded up to milliseconds. The
	// maximum is 1<<31-1 of them.
	RequestTimeout time.Duration `header:"x-portkey-request-timeout"`

	// StrictOpenAICompliance, if false, allows responses with fields that OpenAI does
	// not have. Event streams contain hook_results, the results of guardrails, only then;
	// other responses always do. The gateway's default is true.
	StrictOpenAICompliance *bool `header:"x-portkey-strict-open-ai-compliance"`

	// Debug, if false, keeps the contents of request and response out of Portkey's
	// logs, and disables its cache. The gateway's default is true.
	Debug *bool `header:"x-portkey-debug"`

	// ForwardHeaders are the names of request headers that the gateway forwards to
	// the provider unchanged. They cannot be x-portkey-* headers.
	ForwardHeaders []string `header:"x-portkey-forward-headers"`

	// SensitiveHeaders are the names of headers whose values Portkey masks in its logs.
	// The function SecretHeaders is for logs of your own.
	SensitiveHeaders []string `header:"x-portkey-sensitive-headers"`

	// Beta are the version strings of beta features of the gateway.
	Beta []string `header:"x-portkey-beta"`

	// NitroMode makes the hosted gateway forward the request body to the provider without
	// reading it, to save time. Provider, or a Config without targets, has to name the
	// provider. The gateway answers 4xx if the config has targets, retries, guardrails of
	// the input or OverrideParams, and it ignores a cache. Portkey documents nitro mode as
	// a beta for some accounts, providers and endpoints.
	NitroMode *bool `header:"x-portkey-nitro-mode"`

	// FetchIntegratedModels makes GET /v1/models list the models of the workspace's catalog
	// instead of asking the provider.
	FetchIntegratedModels *bool `header:"x-portkey-fetch-integrated-models"`

	// ProviderResponsesProxy makes the gateway forward /v1/responses to a provider
	// that serves it, instead of translating it.
	ProviderResponsesProxy *bool `header:"x-portkey-provider-responses-proxy"`

	// Parameters of single providers.
	OpenAI      OpenAI
	Anthropic   Anthropic
	Azure       Azure
	Vertex      Vertex
	AWS         AWS
	SageMaker   SageMaker
	Oracle      Oracle
	Stability   Stability
	Databricks  Databricks
	Files       Files
	WorkersAI   WorkersAI
	HuggingFace HuggingFace
	Mistral     Mistral
	Fireworks   Fireworks
	Snowflake   Snowflake
	BytePlus    BytePlus

	// Extra contains further headers, by their full names in upper or lower case
	// ("X-Tenant"). It may contain a header that has a field if the field is not set.
	// An empty value is not sent. Headers that net/http writes (Host,
	// Content-Length, ...) are refused. Values are redacted when printed.
	Extra map[string]string
}

// HTTPHeader returns the headers that h sets, checked and encoded as a [Transport] sends
// them: for clients that take headers but no http.Client, such as a WebSocket dialer or
// an exporter of OpenTelemetry. It returns a [*HeaderError] if a value cannot be sent.
//
// It reads no environment and makes no trace ID. The result is not redacted when it is
// printed. A client that follows redirects takes the headers along to other hosts: give it
// a CheckRedirect that returns http.ErrUseLastResponse.
func (h Headers) HTTPHeader() (http.Header, error) {
	set, err := newHeaderSet(&h)
	if err != nil {
		return nil, err
	}
	if err := checkSize(set.all); err != nil {
		return nil, err
	}
	header := make(http.Header)
	for key, value := range set.all {
		header.Set(key, value)
	}
	return header, nil
}

// OpenAI holds the parameters of provider openai.
type OpenAI struct {
	// Organization is the ID of an organization ("org-..."). The gateway does not
	// read OpenAI-Organization.
	Organization string `header:"x-portkey-openai-organization"`
	// Project is the ID of a project ("proj_..."). The gateway does not read
	// OpenAI-Project.
	Project string `header:"x-portkey-openai-project"`
	// Beta is a beta feature ("assistants=v2"). It takes precedence over
	// OpenAI-Beta.
	Beta string `header:"x-portkey-openai-beta"`
}

// Anthropic holds the parameters of provider anthropic, and of Anthropic's models at
// bedrock and vertex-ai.
type Anthropic struct {
	// Beta is a comma-separated list of beta features. It takes precedence over
	// anthropic-beta.
	Beta string `header:"x-portkey-anthropic-beta"`
	// Version is the date of an API version ("2023-06-01"). It takes precedence over
	// anthropic-version.
	Version string `header:"x-portkey-anthropic-version"`
	// AWSWorkspaceID is a workspace ("wrkspc_...") of Claude Platform on AWS.
	AWSWorkspaceID string `header:"x-portkey-anthropic-aws-workspace-id"`
}

// Azure holds the parameters of the providers azure-openai and azure-ai.
type Azure struct {
	// ResourceName is NAME in https://NAME.openai.azure.com.
	ResourceName string `header:"x-portkey-azure-resource-name"`
	// DeploymentID is the name of the deployment.
	DeploymentID string `header:"x-portkey-azure-deployment-id"`
	// APIVersion is a date, which may end in "-preview" ("2024-10-21").
	APIVersion string `header:"x-portkey-azure-api-version"`
	// ModelName is the model of the deployment.
	ModelName string `header:"x-portkey-azure-model-name"`
	// ADToken is an Entra access token, without "Bearer".
	ADToken string `header:"x-portkey-azure-ad-token,secret"`
	// AuthMode is entra, managed or workload.
	AuthMode string `header:"x-portkey-azure-auth-mode"`
	// ManagedClientID is a GUID, for AuthMode managed.
	ManagedClientID string `header:"x-portkey-azure-managed-client-id"`
	// WorkloadClientID is a GUID, for AuthMode workload.
	WorkloadClientID string `header:"x-portkey-azure-workload-client-id"`
	// EntraClientID is a GUID, for AuthMode entra.
	EntraClientID string `header:"x-portkey-azure-entra-client-id"`
	// EntraClientSecret is a client secret, for AuthMode entra.
	EntraClientSecret string `header:"x-portkey-azure-entra-client-secret,secret"`
	// EntraTenantID is a GUID, for AuthMode entra.
	EntraTenantID string `header:"x-portkey-azure-entra-tenant-id"`
	// EntraScope is a URL, for AuthMode entra. The gateway's default is
	// https://cognitiveservices.azure.com/.default.
	EntraScope string `header:"x-portkey-azure-entra-scope"`
	// EndpointName is the name of an endpoint of azure-ai.
	EndpointName string `header:"x-portkey-azure-endpoint-name"`
	// FoundryURL is the base URL of azure-ai.
	FoundryURL string `header:"x-portkey-azure-foundry-url"`
	// ExtraParams decides what azure-ai does with unknown parameters: drop (the
	// default), pass-through or error.
	ExtraParams string `header:"x-portkey-azure-extra-params"`
}

// Vertex holds the parameters of provider vertex-ai.
type Vertex struct {
	// ProjectID is the Google Cloud project.
	ProjectID string `header:"x-portkey-vertex-project-id"`
	// Region is the Google Cloud region ("us-central1").
	Region string `header:"x-portkey-vertex-region"`
	// ServiceAccountJSON is the key file of a service account, a JSON object.
	ServiceAccountJSON string `header:"x-portkey-vertex-service-account-json,secret"`
	// AuthType is how an enterprise gateway authenticates.
	AuthType string `header:"x-portkey-vertex-auth-type"`
	// StorageBucketName is the bucket for files, batches and fine-tuning data.
	StorageBucketName string `header:"x-portkey-vertex-storage-bucket-name"`
	// LLMRequestType selects dedicated or shared throughput.
	LLMRequestType string `header:"x-vertex-ai-llm-request-type"`
}

// AWS holds the parameters of provider bedrock.
type AWS struct {
	// AccessKeyID is the ID of the access key ("AKIA...").
	AccessKeyID string `header:"x-portkey-aws-access-key-id,secret"`
	// SecretAccessKey is the key that the gateway signs requests with.
	SecretAccessKey string `header:"x-portkey-aws-secret-access-key,secret"`
	// Region is the AWS region ("us-east-1").
	Region string `header:"x-portkey-aws-region"`
	// SessionToken belongs to temporary credentials.
	SessionToken string `header:"x-portkey-aws-session-token,secret"`
	// RoleARN is the role that the gateway assumes.
	RoleARN string `header:"x-portkey-aws-role-arn"`
	// AuthType is assumedRole, serviceRole, or apiKey for a Bedrock API key in
	// Authorization.
	AuthType string `header:"x-portkey-aws-auth-type"`
	// ExternalID is the external ID for assuming the role.
	ExternalID string `header:"x-portkey-aws-external-id,secret"`
	// S3Bucket is the bucket for files.
	S3Bucket string `header:"x-portkey-aws-s3-bucket"`
	// S3ObjectKey is the key of a file in the bucket. It takes precedence over
	// Files.ProviderFileName.
	S3ObjectKey string `header:"x-portkey-aws-s3-object-key"`
	// BedrockModel is the model that a file is for. It takes precedence over
	// Files.ProviderModel.
	BedrockModel string `header:"x-portkey-aws-bedrock-model"`
	// ServerSideEncryption is aws:kms or AES256.
	ServerSideEncryption string `header:"x-portkey-amz-server-side-encryption"`
	// KMSKeyID is the ID or ARN of a KMS key.
	KMSKeyID string `header:"x-portkey-amz-server-side-encryption-aws-kms-key-id"`
}

// SageMaker holds the parameters of provider sagemaker. The gateway sends them as
// the X-Amzn-SageMaker-* headers of InvokeEndpoint.
type SageMaker struct {
	// CustomAttributes is information for the model.
	CustomAttributes string `header:"x-portkey-amzn-sagemaker-custom-attributes"`
	// TargetModel is a model of a multi-model endpoint.
	TargetModel string `header:"x-portkey-amzn-sagemaker-target-model"`
	// TargetVariant is a production variant.
	TargetVariant string `header:"x-portkey-amzn-sagemaker-target-variant"`
	// TargetContainerHostname is a container of a multi-container endpoint.
	TargetContainerHostname string `header:"x-portkey-amzn-sagemaker-target-container-hostname"`
	// InferenceID identifies the call in captured data.
	InferenceID string `header:"x-portkey-amzn-sagemaker-inference-id"`
	// EnableExplanations is a JMESPath expression.
	EnableExplanations string `header:"x-portkey-amzn-sagemaker-enable-explanations"`
	// InferenceComponent is an inference component of the endpoint.
	InferenceComponent string `header:"x-portkey-amzn-sagemaker-inference-component"`
	// SessionID identifies a stateful session.
	SessionID string `header:"x-portkey-amzn-sagemaker-session-id"`
	// ModelName is the name of the model.
	ModelName string `header:"x-portkey-amzn-sagemaker-model-name"`
}

// Oracle holds the parameters of provider oracle.
type Oracle struct {
	// APIVersion is a date without separators ("20231130").
	APIVersion string `header:"x-portkey-oracle-api-version"`
	// Region is the OCI region ("us-chicago-1").
	Region string `header:"x-portkey-oracle-region"`
	// CompartmentID is an OCID.
	CompartmentID string `header:"x-portkey-oracle-compartment-id"`
	// ServingMode is ON_DEMAND or DEDICATED.
	ServingMode string `header:"x-portkey-oracle-serving-mode"`
	// Tenancy is an OCID.
	Tenancy string `header:"x-portkey-oracle-tenancy"`
	// User is an OCID.
	User string `header:"x-portkey-oracle-user"`
	// Fingerprint is the fingerprint of the private key.
	Fingerprint string `header:"x-portkey-oracle-fingerprint,secret"`
	// PrivateKey is a PEM text. A header cannot contain its line breaks: use the
	// form that your gateway reads.
	PrivateKey string `header:"x-portkey-oracle-private-key,secret"`
	// KeyPassphrase is the passphrase of the private key.
	KeyPassphrase string `header:"x-portkey-oracle-key-passphrase,secret"`
}

// Stability holds the parameters of provider stability-ai.
type Stability struct {
	// ClientID is the name of the application.
	ClientID string `header:"x-portkey-stability-client-id"`
	// ClientUserID is the user of the application.
	ClientUserID string `header:"x-portkey-stability-client-user-id"`
	// ClientVersion is the version of the application.
	ClientVersion string `header:"x-portkey-stability-client-version"`
}

// Databricks holds the parameters of provider databricks, which only the hosted
// gateway has.
type Databricks struct {
	// Workspace is the name of the workspace.
	Workspace string `header:"x-portkey-databricks-workspace"`
	// ServingEndpointName is the endpoint of the model.
	ServingEndpointName string `header:"x-portkey-databricks-serving-endpoint-name"`
}

// Files holds the parameters of file uploads and batches.
type Files struct {
	// Purpose is upload, batch or fine-tune.
	Purpose string `header:"x-portkey-file-purpose"`
	// ModelType is the kind of model that a fine-tuning file is for, at bedrock.
	ModelType string `header:"x-portkey-model-type"`
	// UploadSize is the size of a data set for fireworks-ai, in bytes.
	UploadSize int64 `header:"x-portkey-file-upload-size"`
	// ProviderFileName is the name of the file at vertex-ai or bedrock.
	ProviderFileName string `header:"x-portkey-provider-file-name"`
	// ProviderModel is the model that the file is for.
	ProviderModel string `header:"x-portkey-provider-model"`
	// ProviderBatchEndpoint is the endpoint that a batch calls. The gateway's
	// default is /v1/chat/completions.
	ProviderBatchEndpoint string `header:"x-portkey-provider-batch-endpoint"`
}

// WorkersAI holds the parameters of provider workers-ai.
type WorkersAI struct {
	// AccountID is the Cloudflare account.
	AccountID string `header:"x-portkey-workers-ai-account-id"`
}

// HuggingFace holds the parameters of provider huggingface.
type HuggingFace struct {
	// BaseURL is the provider's base URL, in place of the gateway's default.
	BaseURL string `header:"x-portkey-huggingface-base-url"`
}

// Mistral holds the parameters of provider mistral-ai.
type Mistral struct {
	// FIMCompletion makes completions fill in the middle. The gateway ignores it if
	// there is a config.
	FIMCompletion *bool `header:"x-portkey-mistral-fim-completion"`
}

// Fireworks holds the parameters of provider fireworks-ai.
type Fireworks struct {
	// AccountID is the account, for everything but inference.
	AccountID string `header:"x-portkey-fireworks-account-id"`
}

// Snowflake holds the parameters of provider cortex.
type Snowflake struct {
	// Account is ACCOUNT in https://ACCOUNT.snowflakecomputing.com.
	Account string `header:"x-portkey-snowflake-account"`
}

// BytePlus holds the parameters of provider byteplus, which only the hosted gateway
// has.
type BytePlus struct {
	// Region is the region ("ap-southeast").
	Region string `header:"x-portkey-byteplus-region"`
}

// Metadata is sent as x-portkey-metadata. A value has at most 128 characters. Portkey
// gives a meaning to the keys _user, _prompt, _organisation and
// _environment. Metadata is logged and printed: it is not for secrets.
type Metadata map[string]string

// Ptr returns a pointer to a copy of v, for the fields of [Headers] and [ConfigObject]
// whose zero value is meaningful: Debug: portkey.Ptr(false).
func Ptr[T any](v T) *T { return &v }

// HeaderError reports a value that cannot be sent as a header, or a config that the
// gateway would refuse. The request was not sent. For a config it wraps a [*ConfigError].
type HeaderError struct {
	Name   string // the header, in lower case
	Reason string // what is wrong; it does not contain the value

	config *ConfigError // if the value is a config
}

// Error names the header and the reason. The text contains "invalid header", by
// which go-retryablehttp recognizes an error that must not be retried.
func (e *HeaderError) Error() string {
	return "portkey: invalid header " + e.Name + ": " + e.Reason
}

// Unwrap returns the [*ConfigError] if the value is a config.
func (e *HeaderError) Unwrap() error {
	if e.config == nil {
		return nil
	}
	return e.config
}
