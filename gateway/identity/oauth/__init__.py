"""The OAuth 2.0 authorization server: SMART App Launch and Backend Services. docs/explanation/identity.md says how and why."""
