package portkey

import "time"

// Headers is one set of Portkey's parameters. It is used twice: in [Options]
// for every request, and in [WithHeaders] for one call.
//
// A field left at its zero value is not sent, and does not override what a
// lower level says. Each field is one header, named in the field's doc, and
// goes out as one line. Every value must be printable ASCII without blanks
// around it, since the gateway reads a header's bytes as Latin-1; in metadata
// and configs anything else is escaped, and arrives as it was.
//
// Headers holds secrets. Printed with fmt, logged with log/slog or encoded with
// encoding/json, it shows its headers with the secret values redacted.
//
// The parameters are documented at
// https://portkey.ai/docs/api-reference/inference-api/headers.
type Headers struct {
	// APIKey is the Portkey API key, or a JWT, without "Bearer".
	// In Options, "" means $PORTKEY_API_KEY. Header x-portkey-api-key.
	APIKey string `header:"x-portkey-api-key,secret"`

	// VirtualKey is the slug of a provider key that Portkey keeps. Newer
	// accounts say it in Provider, as "@slug". Header x-portkey-virtual-key.
	VirtualKey string `header:"x-portkey-virtual-key,secret"`

	// Provider is a provider's name ("openai"), or the slug of one that is set
	// up at Portkey ("@openai-prod"). For a request to a known provider it need
	// not be set. Header x-portkey-provider.
	Provider string `header:"x-portkey-provider"`

	// Authorization is the provider's credential, whole: "Bearer sk-...". It is
	// for clients that send none: the client's own Authorization goes before it.
	// Header Authorization.
	Authorization string `header:"authorization,secret"`

	// Config is a gateway config: a [ConfigSlug], [ConfigObject] or [ConfigJSON].
	// Header x-portkey-config.
	Config Config `header:"x-portkey-config"`

	// CustomHost is the provider's base URL, with its version path, for a
	// provider that is hosted elsewhere ("https://llm.example.com/v1").
	// It is http or https, without credentials. Header x-portkey-custom-host.
	CustomHost string `header:"x-portkey-custom-host"`

	// TraceID names the trace that the call belongs to. Left empty, it is taken
	// from a traceparent header or made by Options.NewTraceID.
	// Header x-portkey-trace-id.
	TraceID string `header:"x-portkey-trace-id"`

	// SpanID names the call within its trace. Header x-portkey-span-id.
	SpanID string `header:"x-portkey-span-id"`

	// SpanName is the span's name in Portkey's trace view. Header x-portkey-span-name.
	SpanName string `header:"x-portkey-span-name"`

	// ParentSpanID is the span that the call belongs under. Left empty, it is
	// taken along with the trace from a traceparent header.
	// Header x-portkey-parent-span-id.
	ParentSpanID string `header:"x-portkey-parent-span-id"`

	// Metadata is what Portkey's logs are filtered by, and what conditional
	// configs decide on. Header x-portkey-metadata, as a JSON object.
	Metadata Metadata `header:"x-portkey-metadata"`

	// CacheForceRefresh has the gateway answer afresh and cache the answer. It
	// is sent only when true, since the gateway acts on its mere presence; false
	// overrides a true from a lower level. Header x-portkey-cache-force-refresh.
	CacheForceRefresh *bool `header:"x-portkey-cache-force-refresh"`

	// CacheNamespace partitions the gateway's cache. Header x-portkey-cache-namespace.
	CacheNamespace string `header:"x-portkey-cache-namespace"`

	// RequestTimeout is how long the gateway waits for the provider's response
	// to begin; then it answers 408. It is rounded up to whole milliseconds, and
	// may be at most 1<<31-1 of them. Header x-portkey-request-timeout.
	RequestTimeout time.Duration `header:"x-portkey-request-timeout"`

	// StrictOpenAICompliance false lets the gateway answer with fields that
	// OpenAI does not have. The gateway's default is true.
	// Header x-portkey-strict-open-ai-compliance.
	StrictOpenAICompliance *bool `header:"x-portkey-strict-open-ai-compliance"`

	// Debug false keeps the contents of request and response out of Portkey's
	// logs, and turns its cache off. Header x-portkey-debug.
	Debug *bool `header:"x-portkey-debug"`

	// ForwardHeaders names the request's headers that the gateway hands on to
	// the provider as they are. x-portkey-* headers cannot be named: they stay at
	// the gateway. Header x-portkey-forward-headers, comma-separated.
	ForwardHeaders []string `header:"x-portkey-forward-headers"`

	// SensitiveHeaders names headers whose values Portkey's logs mask.
	// Header x-portkey-sensitive-headers, comma-separated.
	SensitiveHeaders []string `header:"x-portkey-sensitive-headers"`

	// Beta names the gateway's beta features to use, by their version strings.
	// Header x-portkey-beta, comma-separated.
	Beta []string `header:"x-portkey-beta"`

	// NitroMode has the hosted gateway skip what costs time: retries, guardrails,
	// the config's parameters. Header x-portkey-nitro-mode.
	NitroMode *bool `header:"x-portkey-nitro-mode"`

	// FetchIntegratedModels has GET /v1/models list the models of the workspace's
	// integrations. Header x-portkey-fetch-integrated-models.
	FetchIntegratedModels *bool `header:"x-portkey-fetch-integrated-models"`

	// ProviderResponsesProxy has /v1/responses handed on to a provider that serves
	// it itself. Header x-portkey-provider-responses-proxy.
	ProviderResponsesProxy *bool `header:"x-portkey-provider-responses-proxy"`

	// What single providers need, in a group each.
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

	// Extra is any other header, by its full name in any spelling
	// ("X-Tenant"). A header that has a field may be named here, if
	// the field is not set; "" is not sent. Headers that net/http writes itself
	// (Host, Content-Length, ...) are refused. Values are printed redacted.
	Extra map[string]string
}

// OpenAI holds the parameters of provider openai.
type OpenAI struct {
	Organization string `header:"x-portkey-openai-organization"` // Header x-portkey-openai-organization ("org-..."); the gateway does not read OpenAI-Organization.
	Project      string `header:"x-portkey-openai-project"`      // Header x-portkey-openai-project ("proj_..."); the gateway does not read OpenAI-Project.
	Beta         string `header:"x-portkey-openai-beta"`         // Header x-portkey-openai-beta ("assistants=v2"); before OpenAI-Beta.
}

// Anthropic holds the parameters of provider anthropic, also behind bedrock and vertex-ai.
type Anthropic struct {
	Beta           string `header:"x-portkey-anthropic-beta"`             // Header x-portkey-anthropic-beta, comma-separated; before anthropic-beta.
	Version        string `header:"x-portkey-anthropic-version"`          // Header x-portkey-anthropic-version, a date ("2023-06-01"); before anthropic-version.
	AWSWorkspaceID string `header:"x-portkey-anthropic-aws-workspace-id"` // Header x-portkey-anthropic-aws-workspace-id ("wrkspc_..."), for Claude Platform on AWS.
}

// Azure holds the parameters of the providers azure-openai and azure-ai.
type Azure struct {
	ResourceName      string `header:"x-portkey-azure-resource-name"`              // Header x-portkey-azure-resource-name: RES in https://RES.openai.azure.com.
	DeploymentID      string `header:"x-portkey-azure-deployment-id"`              // Header x-portkey-azure-deployment-id: the deployment's name.
	APIVersion        string `header:"x-portkey-azure-api-version"`                // Header x-portkey-azure-api-version: YYYY-MM-DD, or YYYY-MM-DD-preview.
	ModelName         string `header:"x-portkey-azure-model-name"`                 // Header x-portkey-azure-model-name: the model behind the deployment.
	ADToken           string `header:"x-portkey-azure-ad-token,secret"`            // Header x-portkey-azure-ad-token: an Entra access token, without "Bearer".
	AuthMode          string `header:"x-portkey-azure-auth-mode"`                  // Header x-portkey-azure-auth-mode: entra, managed or workload.
	ManagedClientID   string `header:"x-portkey-azure-managed-client-id"`          // Header x-portkey-azure-managed-client-id, a GUID, for auth mode managed.
	WorkloadClientID  string `header:"x-portkey-azure-workload-client-id"`         // Header x-portkey-azure-workload-client-id, a GUID, for auth mode workload.
	EntraClientID     string `header:"x-portkey-azure-entra-client-id"`            // Header x-portkey-azure-entra-client-id, a GUID, for auth mode entra.
	EntraClientSecret string `header:"x-portkey-azure-entra-client-secret,secret"` // Header x-portkey-azure-entra-client-secret, for auth mode entra.
	EntraTenantID     string `header:"x-portkey-azure-entra-tenant-id"`            // Header x-portkey-azure-entra-tenant-id, a GUID, for auth mode entra.
	EntraScope        string `header:"x-portkey-azure-entra-scope"`                // Header x-portkey-azure-entra-scope, a URL; default https://cognitiveservices.azure.com/.default.
	EndpointName      string `header:"x-portkey-azure-endpoint-name"`              // Header x-portkey-azure-endpoint-name, for azure-ai.
	FoundryURL        string `header:"x-portkey-azure-foundry-url"`                // Header x-portkey-azure-foundry-url: the base URL of azure-ai.
	ExtraParams       string `header:"x-portkey-azure-extra-params"`               // Header x-portkey-azure-extra-params: what azure-ai does with parameters it does not know: drop (default), pass-through or error.
}

// Vertex holds the parameters of provider vertex-ai.
type Vertex struct {
	ProjectID          string `header:"x-portkey-vertex-project-id"`                  // Header x-portkey-vertex-project-id: the Google Cloud project.
	Region             string `header:"x-portkey-vertex-region"`                      // Header x-portkey-vertex-region ("us-central1").
	ServiceAccountJSON string `header:"x-portkey-vertex-service-account-json,secret"` // Header x-portkey-vertex-service-account-json: the service account's key file, a JSON object; sent compact and in ASCII.
	AuthType           string `header:"x-portkey-vertex-auth-type"`                   // Header x-portkey-vertex-auth-type: how an enterprise gateway authenticates.
	StorageBucketName  string `header:"x-portkey-vertex-storage-bucket-name"`         // Header x-portkey-vertex-storage-bucket-name: where files, batches and fine-tuning data are kept.
	LLMRequestType     string `header:"x-vertex-ai-llm-request-type"`                 // Header x-vertex-ai-llm-request-type: dedicated or shared throughput; the one of these without prefix.
}

// AWS holds the parameters of provider bedrock.
type AWS struct {
	AccessKeyID          string `header:"x-portkey-aws-access-key-id,secret"`                  // Header x-portkey-aws-access-key-id ("AKIA...").
	SecretAccessKey      string `header:"x-portkey-aws-secret-access-key,secret"`              // Header x-portkey-aws-secret-access-key: the key that the gateway signs with.
	Region               string `header:"x-portkey-aws-region"`                                // Header x-portkey-aws-region ("us-east-1").
	SessionToken         string `header:"x-portkey-aws-session-token,secret"`                  // Header x-portkey-aws-session-token, of temporary credentials.
	RoleARN              string `header:"x-portkey-aws-role-arn"`                              // Header x-portkey-aws-role-arn: the role to assume.
	AuthType             string `header:"x-portkey-aws-auth-type"`                             // Header x-portkey-aws-auth-type: assumedRole, serviceRole, or apiKey for a Bedrock API key in Authorization.
	ExternalID           string `header:"x-portkey-aws-external-id,secret"`                    // Header x-portkey-aws-external-id, for the role to assume.
	S3Bucket             string `header:"x-portkey-aws-s3-bucket"`                             // Header x-portkey-aws-s3-bucket: where files are kept.
	S3ObjectKey          string `header:"x-portkey-aws-s3-object-key"`                         // Header x-portkey-aws-s3-object-key: the name of a file there; before Files.ProviderFileName.
	BedrockModel         string `header:"x-portkey-aws-bedrock-model"`                         // Header x-portkey-aws-bedrock-model: the model that a file is for; before Files.ProviderModel.
	ServerSideEncryption string `header:"x-portkey-amz-server-side-encryption"`                // Header x-portkey-amz-server-side-encryption: aws:kms or AES256.
	KMSKeyID             string `header:"x-portkey-amz-server-side-encryption-aws-kms-key-id"` // Header x-portkey-amz-server-side-encryption-aws-kms-key-id: a key's ID or ARN.
}

// SageMaker holds the parameters of provider sagemaker, which gets them as the
// X-Amzn-SageMaker-* headers of its InvokeEndpoint.
type SageMaker struct {
	CustomAttributes        string `header:"x-portkey-amzn-sagemaker-custom-attributes"`         // Header x-portkey-amzn-sagemaker-custom-attributes: what the model itself reads.
	TargetModel             string `header:"x-portkey-amzn-sagemaker-target-model"`              // Header x-portkey-amzn-sagemaker-target-model: the model of a multi-model endpoint.
	TargetVariant           string `header:"x-portkey-amzn-sagemaker-target-variant"`            // Header x-portkey-amzn-sagemaker-target-variant: the production variant.
	TargetContainerHostname string `header:"x-portkey-amzn-sagemaker-target-container-hostname"` // Header x-portkey-amzn-sagemaker-target-container-hostname: the container of a multi-container endpoint.
	InferenceID             string `header:"x-portkey-amzn-sagemaker-inference-id"`              // Header x-portkey-amzn-sagemaker-inference-id: the ID by which captured data is found.
	EnableExplanations      string `header:"x-portkey-amzn-sagemaker-enable-explanations"`       // Header x-portkey-amzn-sagemaker-enable-explanations: a JMESPath expression.
	InferenceComponent      string `header:"x-portkey-amzn-sagemaker-inference-component"`       // Header x-portkey-amzn-sagemaker-inference-component: the component of the endpoint.
	SessionID               string `header:"x-portkey-amzn-sagemaker-session-id"`                // Header x-portkey-amzn-sagemaker-session-id: the stateful session.
	ModelName               string `header:"x-portkey-amzn-sagemaker-model-name"`                // Header x-portkey-amzn-sagemaker-model-name: the model.
}

// Oracle holds the parameters of provider oracle.
type Oracle struct {
	APIVersion    string `header:"x-portkey-oracle-api-version"`           // Header x-portkey-oracle-api-version ("20231130").
	Region        string `header:"x-portkey-oracle-region"`                // Header x-portkey-oracle-region ("us-chicago-1").
	CompartmentID string `header:"x-portkey-oracle-compartment-id"`        // Header x-portkey-oracle-compartment-id, an OCID.
	ServingMode   string `header:"x-portkey-oracle-serving-mode"`          // Header x-portkey-oracle-serving-mode: ON_DEMAND or DEDICATED.
	Tenancy       string `header:"x-portkey-oracle-tenancy"`               // Header x-portkey-oracle-tenancy, an OCID.
	User          string `header:"x-portkey-oracle-user"`                  // Header x-portkey-oracle-user, an OCID.
	Fingerprint   string `header:"x-portkey-oracle-fingerprint,secret"`    // Header x-portkey-oracle-fingerprint, of the private key.
	PrivateKey    string `header:"x-portkey-oracle-private-key,secret"`    // Header x-portkey-oracle-private-key: PEM text. A header cannot hold its line breaks: give it in the form that your gateway reads.
	KeyPassphrase string `header:"x-portkey-oracle-key-passphrase,secret"` // Header x-portkey-oracle-key-passphrase, of the private key.
}

// Stability holds the parameters of provider stability-ai.
type Stability struct {
	ClientID      string `header:"x-portkey-stability-client-id"`      // Header x-portkey-stability-client-id: the application's name.
	ClientUserID  string `header:"x-portkey-stability-client-user-id"` // Header x-portkey-stability-client-user-id: the application's user.
	ClientVersion string `header:"x-portkey-stability-client-version"` // Header x-portkey-stability-client-version: the application's version.
}

// Databricks holds the parameters of provider databricks, which only the hosted gateway knows.
type Databricks struct {
	Workspace           string `header:"x-portkey-databricks-workspace"`             // Header x-portkey-databricks-workspace: the workspace's name.
	ServingEndpointName string `header:"x-portkey-databricks-serving-endpoint-name"` // Header x-portkey-databricks-serving-endpoint-name: the model's endpoint.
}

// Files holds the parameters of file uploads and batches, at several providers.
type Files struct {
	Purpose               string `header:"x-portkey-file-purpose"`            // Header x-portkey-file-purpose: upload, batch or fine-tune.
	ModelType             string `header:"x-portkey-model-type"`              // Header x-portkey-model-type: what a file for fine-tuning is for, at bedrock.
	UploadSize            int64  `header:"x-portkey-file-upload-size"`        // Header x-portkey-file-upload-size: the size in bytes of a data set for fireworks-ai.
	ProviderFileName      string `header:"x-portkey-provider-file-name"`      // Header x-portkey-provider-file-name: the file's name at vertex-ai or bedrock.
	ProviderModel         string `header:"x-portkey-provider-model"`          // Header x-portkey-provider-model: the model that the file is for.
	ProviderBatchEndpoint string `header:"x-portkey-provider-batch-endpoint"` // Header x-portkey-provider-batch-endpoint: the endpoint that a batch calls; default /v1/chat/completions.
}

// WorkersAI holds the parameters of provider workers-ai.
type WorkersAI struct {
	AccountID string `header:"x-portkey-workers-ai-account-id"` // Header x-portkey-workers-ai-account-id: the Cloudflare account.
}

// HuggingFace holds the parameters of provider huggingface.
type HuggingFace struct {
	BaseURL string `header:"x-portkey-huggingface-base-url"` // Header x-portkey-huggingface-base-url: the base URL in place of the gateway's own.
}

// Mistral holds the parameters of provider mistral-ai.
type Mistral struct {
	FIMCompletion *bool `header:"x-portkey-mistral-fim-completion"` // Header x-portkey-mistral-fim-completion: completions are fill-in-the-middle; ignored beside a config.
}

// Fireworks holds the parameters of provider fireworks-ai.
type Fireworks struct {
	AccountID string `header:"x-portkey-fireworks-account-id"` // Header x-portkey-fireworks-account-id, for everything but inference.
}

// Snowflake holds the parameters of provider cortex.
type Snowflake struct {
	Account string `header:"x-portkey-snowflake-account"` // Header x-portkey-snowflake-account: ACCOUNT in https://ACCOUNT.snowflakecomputing.com.
}

// BytePlus holds the parameters of provider byteplus, which only the hosted gateway knows.
type BytePlus struct {
	Region string `header:"x-portkey-byteplus-region"` // Header x-portkey-byteplus-region ("ap-southeast").
}

// Metadata is what x-portkey-metadata carries: string values of at most 128
// characters each. Portkey gives a meaning of their own to the keys _user,
// _prompt, _organisation and _environment. It is not the place for secrets.
type Metadata map[string]string

// Bool returns a pointer to v, for the fields of [Headers] that tell false from
// not set.
func Bool(v bool) *bool { return &v }

// HeaderError reports a value that cannot be sent. Nothing has been sent when
// it is returned.
type HeaderError struct {
	Name   string // the header, in lower case
	Reason string // what is wrong, without the value
}

// Error says what is wrong with which header. The text contains "invalid header",
// by which go-retryablehttp knows that trying again is of no use.
func (e *HeaderError) Error() string {
	return "portkey: invalid header " + e.Name + ": " + e.Reason
}
