"""Entry point by which container images and scripts start the pool in `pipelines.beam`."""

from pipelines.beam.worker_pool import main

if __name__ == "__main__":
    main()
