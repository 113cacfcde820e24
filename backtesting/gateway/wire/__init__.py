"""The wire: frames, fields, versions, typed requests in and messages out, whatever they mean."""
